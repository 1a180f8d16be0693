import type { DirTable } from '../pxar-decode/dir-table.js'

/** Directories among which a file that is read is looked for. */
const KEPT = 8

/** Larger tables are not kept alive for it. */
const MAX_TABLE_BYTES = 4 * 1024 * 1024

/** A file's place in a directory that was listed. */
export interface PlaceInDir {
  readonly dirEnd: number
  readonly table: DirTable
  readonly index: number
}

/** The directories of an archive that were listed last, to find the neighbours of a file in. */
export class RecentDirs {
  /** The latest one last. */
  readonly #dirs: { readonly dirEnd: number; readonly table: DirTable }[] = []

  add(dirEnd: number, table: DirTable): void {
    if (table.byteLength > MAX_TABLE_BYTES) return
    const known = this.#dirs.findIndex((dir) => dir.dirEnd === dirEnd)
    if (known >= 0) this.#dirs.splice(known, 1)
    this.#dirs.push({ dirEnd, table })
    if (this.#dirs.length > KEPT) this.#dirs.shift()
  }

  /** Where the file with its FILENAME item at `offset` is. */
  find(offset: number): PlaceInDir | undefined {
    for (let i = this.#dirs.length - 1; i >= 0; i--) {
      const dir = this.#dirs[i]!
      const index = indexOfFile(dir.table, offset)
      if (index >= 0) return { ...dir, index }
    }
    return undefined
  }
}

/** Entries ascend by their place, but for hard links; one that is missed is read like any other file. */
function indexOfFile(table: DirTable, offset: number): number {
  let low = 0
  let high = table.count - 1
  while (low <= high) {
    const middle = (low + high) >>> 1
    const at = table.fileOfsAt(middle)
    if (at === offset) return middle
    if (at < offset) low = middle + 1
    else high = middle - 1
  }
  return -1
}

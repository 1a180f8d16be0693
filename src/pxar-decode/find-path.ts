import type { PxarArchive } from './archive.js'
import type { DirTable } from './dir-table.js'
import { createRecord, FLAG_LINKED_NAME, KIND_DIR } from './entry-record.js'

/** Levels below the root that are searched: more than any path has that a program could use. */
const MAX_LEVELS = 4096

/** Where something of an archive is. */
export interface FoundPath {
  /** Names from the root on, raw bytes. Empty: the root itself. */
  readonly names: readonly Uint8Array[]
  /** False: the way goes on, but a directory on it cannot be read or does not list it. */
  readonly complete: boolean
}

/**
 * The path of the non-directory whose FILENAME header is at `place`, or with `directory` of the
 * directory whose table ends there: down from the root, always into the directory whose range holds
 * the place. A hard link counts under the name of its target. Never throws for damage of the archive.
 */
export async function findPath(
  archive: PxarArchive,
  place: number,
  directory: boolean,
  openDir: (end: number) => Promise<DirTable> = (end) => archive.openDir(end),
): Promise<FoundPath> {
  const names: Uint8Array[] = []
  const record = createRecord()
  // The last byte of what is looked for: ranges hold it, ends do not.
  const inside = directory ? place - 1 : place
  for (let end = archive.rootEnd, level = 0; level < MAX_LEVELS; level++) {
    if (directory && end === place) return { names, complete: true }
    let table: DirTable
    try {
      table = await openDir(end)
    } catch {
      return { names, complete: false }
    }
    let below: number | undefined
    for (let i = 0; i < table.count; i++) {
      table.entryAt(i, record)
      if (record.kind !== KIND_DIR) {
        if (directory || record.fileOfs !== place || (record.flags & FLAG_LINKED_NAME) !== 0) continue
        names.push(table.nameAt(i).slice())
        return { names, complete: true }
      }
      if (record.fileOfs > inside || record.end <= inside) continue
      names.push(table.nameAt(i).slice())
      below = record.end
      break
    }
    if (below === undefined) return { names, complete: false }
    end = below
  }
  return { names, complete: false }
}

import type { PxarArchive } from '../pxar-decode/archive.js'
import type { DirTable } from '../pxar-decode/dir-table.js'
import { isDirectory, nodeHi, nodeLo, offsetOf } from './node-id.js'
import { FILE_RUN_FIELDS, type DirFiles, type FileRun, type NodeId } from './tree.js'

/** The files of one directory of an archive, as long as the directory stays decoded. */
export class ArchiveFiles implements DirFiles {
  readonly key: string
  readonly #pxar: PxarArchive
  readonly #archive: number
  readonly #dirEnd: number
  readonly #table: () => DirTable | undefined

  constructor(pxar: PxarArchive, archive: number, dirEnd: number, table: () => DirTable | undefined) {
    this.key = `${archive}:${dirEnd}`
    this.#pxar = pxar
    this.#archive = archive
    this.#dirEnd = dirEnd
    this.#table = table
  }

  indexOf(file: NodeId): number {
    const table = this.#table()
    if (table === undefined || isDirectory(file.hi)) return -1
    const offset = offsetOf(file)
    if (offset >= this.#dirEnd || offset <= table.self.entryOfs || nodeHi(this.#archive, false, offset) !== file.hi) return -1
    const i = table.indexCovering(offset)
    return i >= 0 && table.fileOfsAt(i) === offset ? i : -1
  }

  run(from: number, to: number): FileRun {
    const table = this.#table()
    if (table === undefined) return { stream: undefined, files: new Float64Array(0), end: from, loading: undefined }
    const { stream, entries, starts, end, loading } = this.#pxar.contentRun(table, from, to)
    const files = new Float64Array(entries.length * FILE_RUN_FIELDS)
    for (let k = 0, at = 0; k < entries.length; k++, at += FILE_RUN_FIELDS) {
      const i = entries[k]!
      const fileOfs = table.fileOfsAt(i)
      files[at] = nodeHi(this.#archive, false, fileOfs)
      files[at + 1] = nodeLo(fileOfs)
      files[at + 2] = starts[k]!
      files[at + 3] = table.sizeAt(i)
      files[at + 4] = i
    }
    return { stream, files, end, loading }
  }
}

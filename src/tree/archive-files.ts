import type { ReadAt } from '../bytes/read-at.js'
import type { PxarArchive } from '../pxar-decode/archive.js'
import type { DirTable } from '../pxar-decode/dir-table.js'
import { createRecord, KIND_FILE } from '../pxar-decode/entry-record.js'
import { isDirectory, nodeHi, nodeLo, offsetOf } from './node-id.js'
import { FILE_RUN_FIELDS, type DirFiles, type FileRun, type NodeId } from './tree.js'

/** The files of one directory of an archive, as long as the directory stays decoded. */
export class ArchiveFiles implements DirFiles {
  readonly key: string
  readonly #pxar: PxarArchive
  readonly #archive: number
  readonly #dirEnd: number
  readonly #table: () => DirTable | undefined
  readonly #record = createRecord()

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
    const end = Math.min(to, table?.count ?? 0)
    const files = new Float64Array(Math.max(0, end - from) * FILE_RUN_FIELDS)
    let stream: ReadAt | undefined
    let used = 0
    const stop = (at: number, loading?: Promise<unknown>): FileRun => ({ stream, files: files.subarray(0, used), end: at, loading })
    for (let i = from; i < end; i++) {
      if (table!.kindAt(i) !== KIND_FILE || table!.isLinkedName(i)) continue
      table!.entryAt(i, this.#record)
      let content
      try {
        content = this.#pxar.contentOf(this.#record)
      } catch {
        // Damaged: whoever reads it will hear of it.
        continue
      }
      if (content instanceof Promise) return stop(i, content)
      if (stream !== undefined && stream !== content.stream) return stop(i)
      stream = content.stream
      files[used] = nodeHi(this.#archive, false, this.#record.fileOfs)
      files[used + 1] = nodeLo(this.#record.fileOfs)
      files[used + 2] = content.start
      files[used + 3] = content.size
      files[used + 4] = i
      used += FILE_RUN_FIELDS
    }
    return stop(Math.max(from, end))
  }
}

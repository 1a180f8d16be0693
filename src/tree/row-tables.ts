import { LRUCache } from 'lru-cache'
import type { PxarArchive } from '../pxar-decode/archive.js'
import type { EntryRecord } from '../pxar-decode/entry-record.js'
import type { RowTable } from '../pxar-decode/find-entry.js'

/** Directories whose tables are remembered, a few numbers each. */
const TABLES = 4096

/** A directory that covers at most this many bytes is decoded for the first name: it lies in a chunk or two. */
const MAX_DECODED_SPAN = 2 * 1024 * 1024

/** Finds names in directories of a classic archive without decoding them, where that saves reading contents. */
export class RowTables {
  readonly #pxar: PxarArchive
  readonly #entryOfs: (dirEnd: number) => number | undefined
  /** undefined: to be decoded. */
  readonly #tables = new LRUCache<number, Promise<RowTable | undefined>>({ max: TABLES })

  /** `entryOfs`: what the parent of a directory tells, where that is known. */
  constructor(pxar: PxarArchive, entryOfs: (dirEnd: number) => number | undefined) {
    this.#pxar = pxar
    this.#entryOfs = entryOfs
  }

  /** The entry, with its target's record for a hard link; undefined: only the decoded directory can tell. */
  async find(dirEnd: number, name: Uint8Array): Promise<EntryRecord | undefined> {
    if (this.#pxar.split) return undefined
    let opening = this.#tables.get(dirEnd)
    if (opening === undefined) {
      opening = this.#open(dirEnd)
      this.#tables.set(dirEnd, opening)
      opening.catch(() => this.#tables.delete(dirEnd))
    }
    const rows = await opening
    return rows === undefined ? undefined : this.#pxar.findEntry(rows, name)
  }

  async #open(dirEnd: number): Promise<RowTable | undefined> {
    const rows = await this.#pxar.openRows(dirEnd, this.#entryOfs(dirEnd))
    return rows === undefined || rows.span.start - rows.span.entryOfs <= MAX_DECODED_SPAN ? undefined : rows
  }
}

import { LRUCache } from 'lru-cache'
import type { DirTable } from '../pxar-decode/dir-table.js'

/** A decoded directory, with what had to be asked of other streams. */
export interface Directory {
  readonly table: DirTable
  /** st_blocks of the entries that may have holes, by their index. */
  readonly blocks: ReadonlyMap<number, number>
  /** Ends of the directories in it, in order. */
  readonly children: readonly number[]
}

/** Bytes of decoded directories kept, over all archives of a mount. */
const TABLE_BYTES = 32 * 1024 * 1024

/**
 * Decoded directories, least recently used out first, bounded in bytes; one decode at a time
 * for each. A table larger than the bound serves those who wait for it and is not kept.
 */
export class DirTables {
  readonly #tables: LRUCache<string, Directory>
  readonly #decoding = new Map<string, Promise<Directory>>()

  constructor(maxBytes = TABLE_BYTES) {
    this.#tables = new LRUCache({ maxSize: maxBytes, sizeCalculation: ({ table, blocks, children }) => table.byteLength + blocks.size * 64 + children.length * 8 + 256 })
  }

  get(archive: number, end: number, decode: () => Promise<Directory>): Directory | Promise<Directory> {
    const key = `${archive}:${end}`
    const table = this.#tables.get(key)
    if (table !== undefined) return table
    const running = this.#decoding.get(key)
    if (running !== undefined) return running
    const started = decode().then(
      (decoded) => {
        this.#decoding.delete(key)
        // What could not be read now may be readable the next time.
        if (decoded.table.unreadable === 0) this.#tables.set(key, decoded)
        return decoded
      },
      (error: unknown) => {
        this.#decoding.delete(key)
        throw error
      },
    )
    this.#decoding.set(key, started)
    return started
  }

  stats(): { tables: number; bytes: number } {
    return { tables: this.#tables.size, bytes: this.#tables.calculatedSize }
  }
}

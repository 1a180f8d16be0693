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

/** A directory too large for the others' company stays while it is used, and so long after, in ms. */
const LARGE_IDLE_MS = 10_000

/** What could not be read now may be readable the next time; long enough for one listing, in ms. */
const UNREADABLE_MS = 2000

/** The most that decoded directories take, over all archives of a mount, in bytes. */
export const MAX_TABLE_BYTES = 32 * 1024 * 1024

/**
 * Decoded directories, least recently used out first, bounded in bytes; one decode at a time
 * for each. One that is larger than the bound alone is kept while somebody lists it: a listing
 * comes back for every few hundred entries.
 */
export class DirTables {
  readonly #tables: LRUCache<string, Directory>
  readonly #maxBytes: number
  #large: { readonly key: string; readonly directory: Directory; timer: NodeJS.Timeout } | undefined
  readonly #decoding = new Map<string, Promise<Directory>>()

  constructor(maxBytes = MAX_TABLE_BYTES) {
    this.#maxBytes = maxBytes
    this.#tables = new LRUCache({ maxSize: maxBytes, sizeCalculation: sizeOf })
  }

  get(archive: number, end: number, decode: () => Promise<Directory>): Directory | Promise<Directory> {
    const known = this.known(archive, end)
    if (known !== undefined) return known
    const key = `${archive}:${end}`
    const running = this.#decoding.get(key)
    if (running !== undefined) return running
    const started = decode().then(
      (decoded) => {
        this.#decoding.delete(key)
        this.#keep(key, decoded)
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

  /** The directory if it is decoded. */
  known(archive: number, end: number): Directory | undefined {
    const key = `${archive}:${end}`
    return this.#large?.key === key ? this.#useLarge() : this.#tables.get(key)
  }

  /** The same, not counted as used. */
  peek(archive: number, end: number): Directory | undefined {
    const key = `${archive}:${end}`
    return this.#large?.key === key ? this.#large.directory : this.#tables.peek(key)
  }

  #keep(key: string, directory: Directory): void {
    if (sizeOf(directory) <= this.#maxBytes) {
      this.#tables.set(key, directory)
      if (directory.table.unreadable > 0) setTimeout(() => this.#tables.delete(key), UNREADABLE_MS).unref()
      return
    }
    clearTimeout(this.#large?.timer)
    this.#large = { key, directory, timer: this.#dropLater() }
  }

  #useLarge(): Directory {
    const large = this.#large!
    clearTimeout(large.timer)
    large.timer = this.#dropLater()
    return large.directory
  }

  #dropLater(): NodeJS.Timeout {
    return setTimeout(() => (this.#large = undefined), LARGE_IDLE_MS).unref()
  }

  stats(): { tables: number; bytes: number } {
    return { tables: this.#tables.size, bytes: this.#tables.calculatedSize }
  }
}

function sizeOf({ table, blocks, children }: Directory): number {
  return table.byteLength + blocks.size * 64 + children.length * 8 + 256
}

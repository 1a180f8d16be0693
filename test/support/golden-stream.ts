import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeBlobFile } from '#src/blob/decode.js'
import type { ReadAt } from '#src/bytes/read-at.js'
import type { ChunkIndex } from '#src/index/chunk-index.js'
import { parseIndex } from '#src/index/parse-index.js'

const KEPT = 12

/** An archive of a datastore on disk, chunk by chunk, with a few chunks in memory. No threads, no digests. */
export class GoldenStream implements ReadAt {
  readonly name: string
  readonly size: number
  /** Chunks read so far, each once. */
  readonly touched = new Set<string>()
  readonly #store: string
  readonly #index: ChunkIndex
  readonly #chunks = new Map<string, Uint8Array>()

  constructor(store: string, path: string) {
    this.#store = store
    this.name = path
    this.#index = parseIndex(readFileSync(join(store, path)), path)
    this.size = this.#index.size
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    const i = this.#index.chunkAt(offset)
    if (offset + length > this.#index.endOf(i)) return undefined
    const start = offset - this.#index.startOf(i)
    return this.#chunks.get(this.#index.keyAt(i))?.subarray(start, start + length)
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const out = Buffer.alloc(length)
    for (let at = offset; at < offset + length; ) {
      const i = this.#index.chunkAt(at)
      const end = Math.min(this.#index.endOf(i), offset + length)
      out.set(this.#load(i).subarray(at - this.#index.startOf(i), end - this.#index.startOf(i)), at - offset)
      at = end
    }
    await Promise.resolve()
    return out
  }

  #load(i: number): Uint8Array {
    const key = this.#index.keyAt(i)
    const known = this.#chunks.get(key)
    if (known !== undefined) return known
    const hex = Buffer.from(this.#index.digestAt(i)).toString('hex')
    this.touched.add(hex)
    const chunk = decodeBlobFile(readFileSync(join(this.#store, '.chunks', hex.slice(0, 4), hex)), hex)
    this.#chunks.set(key, chunk)
    for (const oldest of this.#chunks.keys()) {
      if (this.#chunks.size <= KEPT) break
      this.#chunks.delete(oldest)
    }
    return chunk
  }
}

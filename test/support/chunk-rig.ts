import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ChunkCache } from '#src/cache/chunk-cache.js'
import { parseIndex } from '#src/index/parse-index.js'
import { ChunkLoader } from '#src/reader/chunk-loader.js'
import { ChunkStream, type ChunkStreamOptions } from '#src/reader/chunk-stream.js'
import { DecodePool } from '#src/workers/decode-pool.js'
import { DatastoreWriter, encodeDynamicIndex, encodeFixedIndex } from './datastore-writer.js'

/** A datastore in a temporary folder with cache, decode threads and streams over it. */
export class ChunkRig {
  readonly store: DatastoreWriter
  readonly cache: ChunkCache
  readonly pool: DecodePool
  readonly loader: ChunkLoader
  readonly #folder = mkdtempSync(join(tmpdir(), 'pbsfs-rig-'))

  constructor(options: { cacheBytes?: number; threads?: number; replyFd?: number } = {}) {
    this.store = new DatastoreWriter(join(this.#folder, 'store'))
    this.cache = new ChunkCache(options.cacheBytes ?? 64 * 1024 * 1024)
    this.pool = new DecodePool(options.threads ?? 2, {
      memory: this.cache.memory,
      sources: [{ kind: 'local', path: this.store.path }],
      ...(options.replyFd === undefined ? {} : { replyFd: options.replyFd }),
    })
    this.loader = new ChunkLoader(this.cache, this.pool)
  }

  /** A stream of the given pieces, one chunk each. */
  dynamic(pieces: readonly Uint8Array[], options: Partial<ChunkStreamOptions> = {}): ChunkStream {
    let end = 0
    const entries = pieces.map((piece) => ({ end: (end += piece.length), digest: this.store.addChunk(piece) }))
    return this.stream(encodeDynamicIndex(entries), 'test.didx', options)
  }

  /** A stream of fixed chunks. */
  fixed(plain: Uint8Array, chunkSize: number, options: Partial<ChunkStreamOptions> = {}): ChunkStream {
    const digests: Buffer[] = []
    for (let at = 0; at < plain.length; at += chunkSize) {
      digests.push(this.store.addChunk(plain.subarray(at, at + chunkSize)))
    }
    return this.stream(encodeFixedIndex(plain.length, digests, { chunkSize }), 'test.fidx', options)
  }

  stream(index: Uint8Array, name: string, options: Partial<ChunkStreamOptions> = {}): ChunkStream {
    return new ChunkStream(name, parseIndex(index, name), this.loader, { encrypted: false, readahead: 2, ...options })
  }

  async close(): Promise<void> {
    await this.pool.close()
    rmSync(this.#folder, { recursive: true })
  }
}

/** Bytes that differ everywhere and compress a little. */
export function noise(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length)
  let state = seed | 1
  for (let i = 0; i < length; i++) {
    state = Math.imul(state, 1664525) + 1013904223
    bytes[i] = (state >>> 24) & 0x3f
  }
  return bytes
}

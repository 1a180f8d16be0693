/*
 * Chunks of an index through the product's cache, loader and decode threads, without a file
 * system: in order with several under way, or at random places one at a time.
 */
import { readFileSync } from 'node:fs'
import type { BlobKey } from '#src/blob/decrypt.js'
import { ChunkCache } from '#src/cache/chunk-cache.js'
import { parseIndex } from '#src/index/parse-index.js'
import { makeEncryptionKey } from '#src/keys/encryption-key.js'
import { ChunkLoader, type ChunkRef } from '#src/reader/chunk-loader.js'
import { DecodePool } from '#src/workers/decode-pool.js'
import { randomOffsets } from '../measure/random-offsets.js'

export interface DecodeSetup {
  readonly store: string
  readonly index: string
  readonly cacheBytes: number
  /** Bytes of the stream that count, from its start. */
  readonly bytes: number
  /** Key file of an encrypted stream, without a password. */
  readonly keyFile?: string
  /** Absent: everything in order. */
  readonly random?: { readonly seed: number; readonly count: number }
}

/** Chunks under way at once: enough that no thread ever waits for work. */
const WINDOW = 8
/** Chunks decoded before the clock starts, so that all threads are up. */
const WARM_UP = 16

const setup = JSON.parse(process.argv[2]!) as DecodeSetup
const index = parseIndex(readFileSync(setup.index), setup.index)
/** Number of the key, as the threads know it. */
const KEY_ID = 1
const key = setup.keyFile === undefined ? undefined : readKey(setup.keyFile)
const bytes = Math.min(setup.bytes, index.size)

async function withLoader<T>(work: (loader: ChunkLoader) => Promise<T>): Promise<T> {
  const cache = new ChunkCache(setup.cacheBytes)
  const pool = new DecodePool(2, { memory: cache.memory, sources: [{ kind: 'local', path: setup.store }], ...(key === undefined ? {} : { keys: [{ id: KEY_ID, key }] }) })
  try {
    const loader = new ChunkLoader(cache, pool)
    const warm = Array.from({ length: Math.min(WARM_UP, index.count) }, (_, i) => load(loader, index.count - 1 - i))
    await Promise.all(warm)
    for (let i = 0; i < warm.length; i++) loader.drop(refOf(index.count - 1 - i))
    return await work(loader)
  } finally {
    await pool.close()
  }
}

function readKey(path: string): BlobKey {
  const { data } = JSON.parse(readFileSync(path, 'utf8')) as { readonly data: string }
  return makeEncryptionKey(Buffer.from(data, 'base64'))
}

function refOf(i: number): ChunkRef {
  const length = index.endOf(i) - index.startOf(i)
  return { key: index.keyAt(i), digest: index.digestAt(i), length, encrypted: key !== undefined, ...(key === undefined ? {} : { keyId: KEY_ID }), stream: setup.index }
}

function load(loader: ChunkLoader, i: number): Promise<void> {
  return new Promise((resolve, reject) => loader.request(refOf(i), 'demand', { ready: () => resolve(), fail: reject }))
}

async function loadInOrder(loader: ChunkLoader): Promise<number> {
  const end = index.chunkAt(bytes - 1) + 1
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < end) {
      const i = next++
      await load(loader, i)
      loader.retire(refOf(i))
    }
  }
  await Promise.all(Array.from({ length: WINDOW }, lane))
  return index.endOf(end - 1)
}

async function loadAtRandom(loader: ChunkLoader, seed: number, count: number): Promise<number> {
  for (const offset of randomOffsets(seed, count, bytes)) await load(loader, index.chunkAt(offset))
  return count
}

// The product's threads do not keep a process alive while nobody waits in its event loop.
const alive = setInterval(() => undefined, 1000)
const result = await withLoader(async (loader) => {
  const began = performance.now()
  const done = setup.random === undefined ? await loadInOrder(loader) : await loadAtRandom(loader, setup.random.seed, setup.random.count)
  return { seconds: (performance.now() - began) / 1000, done }
})
clearInterval(alive)
process.stdout.write(JSON.stringify(result))

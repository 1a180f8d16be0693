import { Worker } from 'node:worker_threads'
import { afterEach, expect, test, vi } from 'vitest'
import { SourceError } from '#src/errors/errors.js'
import { DecodePool } from '#src/workers/decode-pool.js'
import { startDecodeThread } from '#src/workers/start-decode-thread.js'
import { ChunkRig, noise } from '../support/chunk-rig.js'

let rig: ChunkRig | undefined
afterEach(async () => {
  vi.restoreAllMocks()
  await rig?.close()
  rig = undefined
})

const PIECES = Array.from({ length: 24 }, (_, i) => noise(400_000, 2 * i + 1))
const WHOLE = Buffer.concat(PIECES)

test.each(['terminate', 'throw'] as const)('threads that %s cost what they were at, and are replaced; no byte is wrong', async (how) => {
  const posted = vi.spyOn(Worker.prototype, 'postMessage')
  rig = new ChunkRig({ cacheBytes: 4 << 20 })
  const stream = rig.dynamic(PIECES)
  await stream.read(0, 10)
  let failed = 0
  let right = 0
  for (let round = 0; round < 4; round++) {
    const reads = PIECES.map((_, i) =>
      stream.read(i * 400_000, 400_000).then(
        (bytes) => {
          expect(Buffer.from(bytes).equals(PIECES[i]!)).toBe(true)
          right++
        },
        (error: unknown) => {
          expect(error).toBeInstanceOf(SourceError)
          failed++
        },
      ),
    )
    const working = posted.mock.contexts.filter((_, i) => 'digest' in (posted.mock.calls[i]![0] ?? {}))
    const workers = new Set(working.slice(-2) as Worker[])
    for (const worker of workers) {
      // Not a message: the thread has no answer to it but an exception nobody catches.
      if (how === 'throw') worker.postMessage(null)
      else void worker.terminate()
    }
    await Promise.all(reads)
  }
  expect(right + failed).toBe(4 * PIECES.length)
  expect(rig.pool.stats().crashes).toBeGreaterThan(0)
  expect(Buffer.from(await stream.read(0, WHOLE.length)).equals(WHOLE)).toBe(true)
  expect(rig.pool.stats()).toMatchObject({ threads: 2, running: 0, queued: 0 })
  expect(rig.loader.stats()).toMatchObject({ loading: 0, starved: 0 })
})

test('a pool can be filled before there is work', async () => {
  rig = new ChunkRig({ threads: 3 })
  rig.pool.fill()
  expect(rig.pool.stats().threads).toBe(3)
  rig.pool.fill()
  expect(rig.pool.stats().threads).toBe(3)
  expect(Buffer.from(await rig.dynamic(PIECES).read(0, WHOLE.length)).equals(WHOLE)).toBe(true)
})

test('threads are started as there is work for them, one at first', async () => {
  rig = new ChunkRig({ threads: 3 })
  const stream = rig.dynamic(PIECES)
  expect(rig.pool.stats().threads).toBe(1)
  await stream.read(0, 10)
  await stream.read(400_000, 10)
  expect(rig.pool.stats().threads).toBe(1)
  await Promise.all(PIECES.map((_, i) => stream.read(i * 400_000, 400_000)))
  expect(rig.pool.stats().threads).toBe(3)
})

test('a further thread that dies before it is ready is done without', async () => {
  rig = new ChunkRig({ threads: 2 })
  const stream = rig.dynamic(PIECES)
  await stream.read(0, 10)
  const posted = vi.spyOn(Worker.prototype, 'postMessage')
  const reads = Promise.all(PIECES.map((_, i) => stream.read(i * 400_000, 400_000)))
  const started = posted.mock.calls.findIndex(([message]) => 'setup' in (message as object))
  await (posted.mock.contexts[started] as Worker).terminate()
  expect(Buffer.concat(await reads).equals(WHOLE)).toBe(true)
  expect(rig.pool.stats()).toMatchObject({ threads: 1, crashes: 1 })
  expect(Buffer.from(await stream.read(0, WHOLE.length)).equals(WHOLE)).toBe(true)
  expect(rig.pool.stats().threads).toBe(1)
})

test('a thread that runs already is used', async () => {
  const memory = new SharedArrayBuffer(1024)
  const worker = startDecodeThread()
  const posted = vi.spyOn(worker, 'postMessage')
  const pool = new DecodePool(2, { memory, sources: [] }, worker)
  expect(posted.mock.calls[0]![0]).toMatchObject({ setup: { memory } })
  expect(pool.stats().threads).toBe(1)
  await pool.close()
})

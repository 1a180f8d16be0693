import { closeSync, openSync, readFileSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, expect, test, vi } from 'vitest'
import { ChunkUnavailableError, IntegrityError, TruncatedError } from '#src/errors/errors.js'
import type { ChunkStream } from '#src/reader/chunk-stream.js'
import type { DecodeWork } from '#src/workers/decode-pool.js'
import { ChunkRig, noise } from '../support/chunk-rig.js'
import { digestOf } from '../support/datastore-writer.js'

let rig: ChunkRig | undefined
const folder = mkdtempSync(join(tmpdir(), 'pbsfs-stream-'))

afterEach(async () => {
  await rig?.close()
  rig = undefined
})

const PIECES = [noise(70_000, 3), noise(1, 5), noise(130_000, 7), Buffer.alloc(65_536), noise(16, 9), noise(4096, 11)]
const WHOLE = Buffer.concat(PIECES)

/** What `deliver` writes, and how it ended. */
function deliver(stream: ChunkStream, fd: number, offset: number, length: number): Promise<'done' | Error> {
  void fd
  return new Promise((resolve) => {
    stream.deliver!(offset, length, {
      header: Buffer.from('0123456789abcdef'),
      ready: (send) => send(),
      done: () => resolve('done'),
      send: () => resolve(new Error('not in one write')),
      fail: (error) => resolve(error as Error),
    })
  })
}

test('any read equals the slice of the whole, whatever the chunk borders', async () => {
  rig = new ChunkRig()
  const stream = rig.dynamic(PIECES)
  const range = fc.tuple(fc.nat(WHOLE.length), fc.nat(WHOLE.length)).map(([a, b]) => [Math.min(a, b), Math.abs(a - b)] as const)
  await fc.assert(
    fc.asyncProperty(range, async ([offset, length]) => {
      expect(Buffer.from(await stream.read(offset, length)).equals(WHOLE.subarray(offset, offset + length))).toBe(true)
    }),
    { numRuns: 60 },
  )
})

test('peek answers only what is cached and in one piece', async () => {
  rig = new ChunkRig()
  const stream = rig.dynamic(PIECES)
  expect(stream.peek(0, 10)).toBeUndefined()
  await stream.read(0, 10)
  expect(Buffer.from(stream.peek(5, 100)!)).toEqual(WHOLE.subarray(5, 105))
  expect(stream.peek(69_999, 2)).toBeUndefined()
})

test('a read outside the stream is refused', async () => {
  rig = new ChunkRig()
  const stream = rig.dynamic(PIECES)
  await expect(stream.read(WHOLE.length - 1, 2)).rejects.toBeInstanceOf(TruncatedError)
})

test('however many ask, a chunk is decoded once', async () => {
  rig = new ChunkRig()
  const stream = rig.dynamic([noise(200_000)])
  await Promise.all(Array.from({ length: 20 }, (_, i) => stream.read(i * 1000, 1000)))
  expect(rig.cache.stats().chunks).toBe(1)
  expect(rig.loader.stats().misses).toBe(1)
})

test('a reply is header and data in one write, also over several chunks and holes', async () => {
  const path = join(folder, 'reply')
  const fd = openSync(path, 'w+')
  rig = new ChunkRig({ replyFd: fd })
  const stream = rig.dynamic(PIECES, { replyFd: fd })
  for (const [offset, length] of [[0, 10], [69_990, 100_000], [200_001, 65_600], [0, WHOLE.length]] as const) {
    truncateSync(path, 0)
    const start = readFileSync(path).length
    expect(await deliver(stream, fd, offset, length)).toBe('done')
    const written = readFileSync(path).subarray(start)
    const data = written.subarray(written.indexOf('0123456789abcdef') + 16)
    expect(data.equals(WHOLE.subarray(offset, offset + length))).toBe(true)
  }
  closeSync(fd)
})

test('a missing chunk fails with its digest, what lies beside it can be read, and it may come back', async () => {
  rig = new ChunkRig()
  const stream = rig.dynamic(PIECES)
  const digest = digestOf(PIECES[2]!)
  const file = rig.store.chunkPath(digest)
  const bytes = readFileSync(file)
  unlinkSync(file)
  const error: unknown = await stream.read(70_001, 10).catch((failure: unknown) => failure)
  expect(error).toBeInstanceOf(ChunkUnavailableError)
  expect((error as ChunkUnavailableError).fields).toMatchObject({ digest: digest.toString('hex'), stream: 'test.didx' })
  expect(Buffer.from(await stream.read(0, 70_001))).toEqual(WHOLE.subarray(0, 70_001))
  writeFileSync(file, bytes)
  expect(Buffer.from(await stream.read(70_001, 10))).toEqual(WHOLE.subarray(70_001, 70_011))
})

test('a flipped byte is an error for all who wait, never data', async () => {
  const fd = openSync(join(folder, 'flipped'), 'w+')
  rig = new ChunkRig({ replyFd: fd })
  const stream = rig.dynamic(PIECES, { replyFd: fd })
  const file = rig.store.chunkPath(digestOf(PIECES[0]!))
  const bytes = readFileSync(file)
  bytes[bytes.length - 3]! ^= 1
  writeFileSync(file, bytes)
  const failures = await Promise.all([
    deliver(stream, fd, 0, 10),
    deliver(stream, fd, 20, 10),
    stream.read(0, 1).catch((error: unknown) => error),
  ])
  for (const failure of failures) expect(failure).toBeInstanceOf(IntegrityError)
  expect(readFileSync(join(folder, 'flipped')).length).toBe(0)
  closeSync(fd)
})

test('a cache of few chunks serves many readers at once', async () => {
  rig = new ChunkRig({ cacheBytes: 3 * 70_000 + 3 * 4096, threads: 2 })
  const plain = noise(40 * 65_536, 17)
  const stream = rig.fixed(plain, 65_536)
  const reads = Array.from({ length: 60 }, (_, i) => {
    const offset = (i * 37_777) % (plain.length - 150_000)
    return stream.read(offset, 150_000).then((bytes) => plain.compare(bytes, 0, bytes.length, offset, offset + 150_000))
  })
  expect(new Set(await Promise.all(reads))).toEqual(new Set([0]))
  expect(rig.loader.stats()).toMatchObject({ loading: 0, starved: 0 })
})

test('replies that hold the whole cache while they wait for more all get through', async () => {
  const path = join(folder, 'crowd')
  const fd = openSync(path, 'a+')
  rig = new ChunkRig({ cacheBytes: 4 * 65_536, threads: 2, replyFd: fd })
  const plain = noise(40 * 65_536, 29)
  const stream = rig.fixed(plain, 65_536, { replyFd: fd, readahead: 0 })
  const length = 50_000
  // Each lies across a border, the last ones across several.
  const offsets = [...Array.from({ length: 30 }, (_, i) => (i + 1) * 65_536 - 25_000), 33 * 65_536 - 10]
  const lengths = offsets.map((_, i) => (i < 30 ? length : 6 * 65_536))
  const ends = offsets.map(
    (offset, i) =>
      new Promise((resolve) => {
        const done = (): void => resolve('done')
        stream.deliver!(offset, lengths[i]!, { header: Buffer.from(String(i).padStart(16)), ready: (send) => send(), done, send: resolve, fail: resolve })
      }),
  )
  expect(new Set(await Promise.all(ends))).toEqual(new Set(['done']))
  const written = readFileSync(path)
  const seen = new Set<number>()
  for (let at = 0; at < written.length; ) {
    const i = Number(written.toString('latin1', at, at + 16))
    const data = written.subarray(at + 16, at + 16 + lengths[i]!)
    expect(data.equals(plain.subarray(offsets[i], offsets[i]! + lengths[i]!))).toBe(true)
    seen.add(i)
    at += 16 + lengths[i]!
  }
  expect(seen.size).toBe(offsets.length)
  expect(rig.loader.stats()).toMatchObject({ loading: 0, starved: 0 })
  closeSync(fd)
}, 20_000)

test('a chunk larger than the cache is refused by name instead of waited for', async () => {
  rig = new ChunkRig({ cacheBytes: 65_536 })
  const stream = rig.dynamic([noise(100_000)])
  await expect(stream.read(0, 1)).rejects.toThrow('--cache-size')
})

test('holes are known without reading', async () => {
  rig = new ChunkRig()
  const plain = Buffer.concat([noise(65_536), Buffer.alloc(3 * 65_536), noise(65_536, 2), Buffer.alloc(65_536), noise(100)])
  const stream = rig.fixed(plain, 65_536)
  expect(stream.nextHole(10)).toBe(65_536)
  expect(stream.nextData(65_536)).toBe(4 * 65_536)
  expect(stream.nextData(70_000)).toBe(4 * 65_536)
  expect(stream.nextHole(4 * 65_536)).toBe(5 * 65_536)
  expect(stream.nextHole(6 * 65_536)).toBe(plain.length)
  expect(rig.loader.stats().misses).toBe(0)
})

test('sequential replies load ahead, random ones do not', async () => {
  const fd = openSync(join(folder, 'ahead'), 'w+')
  rig = new ChunkRig({ replyFd: fd })
  const plain = noise(64 * 65_536, 23)
  const stream = rig.fixed(plain, 65_536, { replyFd: fd })
  for (let i = 0; i < 6; i++) await deliver(stream, fd, ((i * 7919) % 60) * 65_536, 4096)
  const random = rig.loader.stats().misses
  expect(rig.cache.stats().chunks).toBe(random)
  for (let i = 0; i < 8; i++) await deliver(stream, fd, i * 16_384, 16_384)
  await expect.poll(() => rig!.cache.stats().chunks).toBeGreaterThan(rig.loader.stats().misses)
  closeSync(fd)
})

test('what a sequential reader has gone past leaves the cache, what others use stays', async () => {
  const path = join(folder, 'retired')
  const fd = openSync(path, 'w')
  rig = new ChunkRig({ replyFd: fd })
  const pieces = Array.from({ length: 60 }, (_, i) => noise(100_000, i + 20))
  const stream = rig.dynamic(pieces, { replyFd: fd })
  const other = rig.dynamic([noise(50_000, 3)])
  await other.read(0, 10)
  for (let offset = 0; offset < 6_000_000; offset += 50_000) {
    expect(await deliver(stream, fd, offset, 50_000)).toBe('done')
    expect(rig.cache.stats().chunks).toBeLessThanOrEqual(20)
  }
  expect(other.peek(0, 10)).toBeDefined()
  closeSync(fd)
})

test('what will be read again stays, though it was read in order', async () => {
  rig = new ChunkRig({ cacheBytes: 8 << 20 })
  const pieces = Array.from({ length: 40 }, (_, i) => noise(100_000, 2 * i + 1))
  const stream = rig.dynamic(pieces)
  for (let offset = 0; offset < 4_000_000; offset += 50_000) {
    await stream.read(offset, 50_000)
    stream.noteRead(offset, 50_000, true)
  }
  expect(rig.cache.stats().chunks).toBe(40)
  for (let offset = 0; offset < 4_000_000; offset += 50_000) stream.noteRead(offset, 50_000)
  expect(rig.cache.stats().chunks).toBeLessThan(20)
})

test('after the pool is closed a read fails by name', async () => {
  rig = new ChunkRig({ threads: 1 })
  const stream = rig.dynamic(PIECES)
  await stream.read(0, 1)
  await rig.pool.close()
  await expect(stream.read(70_001, 1)).rejects.toThrow('decoding has ended')
})

test('clean up', () => rmSync(folder, { recursive: true }))

test('what is expected is loaded before it is read, and told where it ends', async () => {
  rig = new ChunkRig()
  const stream = rig.dynamic(PIECES)
  expect(stream.expect(10)).toBe(70_000)
  expect(stream.expect(70_001)).toBe(200_001)
  expect(stream.expect(WHOLE.length)).toBe(WHOLE.length)
  expect(stream.expect(-1)).toBe(WHOLE.length)
  await vi.waitFor(() => expect(stream.peek(70_001, 100)).toBeDefined())
  expect(stream.peek(0, 100)).toBeDefined()
  expect(stream.peek(WHOLE.length - 4096, 4096)).toBeUndefined()
})

test('a decode thread is handed the digest alone, not the index it is in', async () => {
  rig = new ChunkRig()
  const submitted: DecodeWork[] = []
  const submit = rig.pool.submit.bind(rig.pool)
  vi.spyOn(rig.pool, 'submit').mockImplementation((work) => {
    submitted.push(work)
    submit(work)
  })
  await rig.dynamic(PIECES).read(0, WHOLE.length)
  expect(submitted.map(({ digest }) => digest.buffer.byteLength)).toEqual(submitted.map(() => 32))
  expect(submitted.length).toBeGreaterThan(3)
})

import { expect, test, vi } from 'vitest'
import type { LostRange, ReadAt } from '#src/bytes/read-at.js'
import { ChunkUnavailableError, IntegrityError, KeyError, SourceError } from '#src/errors/errors.js'
import { isDamage } from '#src/errors/is-damage.js'
import { ZeroFilledStream } from '#src/tree/zero-filled-stream.js'
import { ExtentStream } from '#src/volumes/extent-stream.js'
import { ChunkRig, noise } from '../support/chunk-rig.js'
import { digestOf } from '../support/datastore-writer.js'
import { MemoryStream } from '../support/memory-stream.js'
import { rmSync } from 'node:fs'

const PLAIN = noise(40_000, 3)

/** Bytes `[from, to)` cannot be read. */
function lossy(from: number, to: number, error: Error = new IntegrityError('altered')): ReadAt {
  const onRead = (offset: number, length: number): void => {
    if (offset < to && offset + length > from) throw error
  }
  return new MemoryStream(PLAIN, { peeks: false, onRead })
}

function zeroed(from: number, to: number): Buffer {
  return Buffer.from(PLAIN).fill(0, from, to)
}

async function readAll(stream: ReadAt): Promise<{ bytes: Buffer; lost: (readonly [number, number])[] }> {
  const lost: LostRange[] = []
  const filled = new ZeroFilledStream(stream, (range) => lost.push(range))
  const bytes = Buffer.from(await filled.read(0, filled.size))
  return { bytes, lost: lost.map(({ offset, length }) => [offset, length] as const) }
}

test('zeros where the disk has lost its blocks, nothing else changed', async () => {
  const { bytes, lost } = await readAll(lossy(9000, 9001))
  expect(bytes.equals(zeroed(8192, 12_288))).toBe(true)
  expect(lost).toEqual([[8192, 4096]])
})

test('of a volume over several disks, each loss at its place in the volume', async () => {
  const whole = new MemoryStream(PLAIN, { peeks: false })
  const volume = new ExtentStream('volume', [
    { stream: whole, start: 100, length: 5000 },
    { stream: undefined, start: 0, length: 1000 },
    { stream: lossy(8192, 8193), start: 8000, length: 10_000 },
  ])
  const { bytes, lost } = await readAll(volume)
  const expected = Buffer.concat([PLAIN.subarray(100, 5100), Buffer.alloc(1000), zeroed(8192, 12_288).subarray(8000, 18_000)])
  expect(bytes.equals(expected)).toBe(true)
  expect(lost).toEqual([[6192, 4096]])
})

test('of a stream of chunks exactly the bytes of the chunk', async () => {
  const rig = new ChunkRig()
  try {
    const pieces = [PLAIN.subarray(0, 12_345), PLAIN.subarray(12_345, 20_001), PLAIN.subarray(20_001)]
    const stream = rig.dynamic(pieces)
    rmSync(rig.store.chunkPath(digestOf(pieces[1]!)))
    const { bytes, lost } = await readAll(stream)
    expect(bytes.equals(zeroed(12_345, 20_001))).toBe(true)
    expect(lost).toEqual([[12_345, 7656]])
  } finally {
    await rig.close()
  }
})

test.each([
  new KeyError('no key'),
  new SourceError('denied', { code: 'EACCES' }),
  new SourceError('gone', { code: 'ENOENT' }),
  new SourceError('late', { code: 'ETIMEDOUT' }),
  new ChunkUnavailableError('in the bucket', { evicted: true }),
  new TypeError('a bug'),
])('%s is no damage: no zeros', async (error) => {
  expect(isDamage(error)).toBe(false)
  await expect(readAll(lossy(9000, 9001, error))).rejects.toBe(error)
})

test('a reply that cannot be sent is made again with zeros', async () => {
  const inner = lossy(9000, 9001)
  const failing: ReadAt = {
    name: inner.name,
    size: inner.size,
    peek: () => undefined,
    read: (offset, length) => inner.read(offset, length),
    deliver: (_offset, _length, reply) => reply.fail(new IntegrityError('altered')),
  }
  const sent = await new Promise<Uint8Array>((resolve, reject) => {
    const header = new Uint8Array(16)
    new ZeroFilledStream(failing, () => undefined).deliver!(0, 20_000, { header, ready: reject, done: reject, send: resolve, fail: reject })
  })
  expect(Buffer.from(sent).equals(zeroed(8192, 12_288).subarray(0, 20_000))).toBe(true)
})

test('whoever takes a reply decides when it is sent, as of the stream itself', () => {
  const send = (): void => undefined
  const ready = vi.fn()
  const base = lossy(9000, 9001)
  const inner: ReadAt = {
    name: base.name,
    size: base.size,
    peek: () => undefined,
    read: (offset, length) => base.read(offset, length),
    deliver: (_offset, _length, reply) => reply.ready(send),
  }
  const nothing = (): void => expect.fail()
  new ZeroFilledStream(inner, nothing).deliver!(0, 10, { header: new Uint8Array(16), ready, done: nothing, send: nothing, fail: nothing })
  expect(ready.mock.calls).toEqual([[send]])
})

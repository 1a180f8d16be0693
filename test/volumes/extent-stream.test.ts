import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { DirectReply, ReadAt } from '#src/bytes/read-at.js'
import { ExtentStream, type Extent } from '#src/volumes/extent-stream.js'
import { MemoryStream } from '../support/memory-stream.js'

const BASE = 4096

/** A stream whose zero bytes in whole blocks of 64 are known holes, and which notes what it delivers. */
class HolyStream extends MemoryStream {
  readonly delivered: { offset: number; length: number }[] = []
  readonly #data: Uint8Array

  constructor(data: Uint8Array) {
    super(data)
    this.#data = data
  }

  #isHole(block: number): boolean {
    return this.#data.subarray(block * 64, block * 64 + 64).every((byte) => byte === 0)
  }

  #next(offset: number, hole: boolean): number {
    for (let block = Math.floor(offset / 64); block * 64 < this.size; block++) {
      if (this.#isHole(block) === hole) return Math.max(offset, block * 64)
    }
    return this.size
  }

  nextData(offset: number): number {
    return this.#next(offset, false)
  }

  nextHole(offset: number): number {
    return this.#next(offset, true)
  }

  deliver(offset: number, length: number, reply: DirectReply): void {
    this.delivered.push({ offset, length })
    reply.done()
  }
}

function makeBase(seed: number): HolyStream {
  const bytes = Buffer.alloc(BASE)
  for (let i = 0; i < BASE; i++) bytes[i] = ((i >> 6) * 7 + seed) % 3 === 0 ? 0 : ((i * 31 + seed) % 255) + 1
  return new HolyStream(bytes)
}

const bases = [makeBase(1), makeBase(2)]
const arbitraryExtent = fc
  .tuple(fc.constantFrom(0, 1, 2), fc.nat(BASE - 1), fc.integer({ min: 1, max: 700 }))
  .map(([base, start, length]): Extent => ({ stream: bases[base], start, length: Math.min(length, BASE - start) }))

async function plainOf(extents: readonly Extent[]): Promise<Buffer> {
  const parts = extents.map(async ({ stream, start, length }) => stream?.read(start, length) ?? Buffer.alloc(length))
  return Buffer.concat(await Promise.all(parts))
}

describe('ranges as a stream', () => {
  test('reads, peeks and counts are those of the ranges joined', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(arbitraryExtent, { minLength: 1, maxLength: 12 }), fc.nat(), fc.nat(), async (extents, a, b) => {
        const plain = await plainOf(extents)
        const stream = new ExtentStream('volume', extents)
        expect(stream.size).toBe(plain.length)
        const offset = a % plain.length
        const length = b % (plain.length - offset + 1)
        expect(Buffer.from(await stream.read(offset, length))).toEqual(plain.subarray(offset, offset + length))
        const peeked = stream.peek(offset, length)
        if (peeked !== undefined) expect(Buffer.from(peeked)).toEqual(plain.subarray(offset, offset + length))
        expect(stream.countData(0, plain.length)).toBeLessThanOrEqual(plain.length)
      }),
    )
  })

  test('holes: everything that is not zero is in a data run, runs go on to the end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(arbitraryExtent, { minLength: 1, maxLength: 12 }), async (extents) => {
        const plain = await plainOf(extents)
        const stream = new ExtentStream('volume', extents)
        const seen = Buffer.alloc(plain.length)
        for (let at = stream.nextData(0); at < stream.size; ) {
          const hole = stream.nextHole(at)
          expect(hole).toBeGreaterThan(at)
          seen.set(plain.subarray(at, hole), at)
          at = stream.nextData(hole)
          expect(at).toBeGreaterThanOrEqual(hole)
        }
        expect(seen).toEqual(plain)
        if (extents.every(({ stream: base }) => base === undefined)) expect(stream.nextData(0)).toBe(stream.size)
      }),
    )
  })

  test('a range outside is refused', async () => {
    const stream = new ExtentStream('volume', [{ stream: bases[0], start: 0, length: 100 }])
    for (const [offset, length] of [[0, 101], [100, 1], [-1, 1], [0, -1]] as const) {
      await expect(stream.read(offset, length)).rejects.toMatchObject({ tag: 'truncated', fields: { stream: 'volume' } })
    }
  })

  test('neighbours are joined, so most reads stay in one range', () => {
    const extents = [0, 100, 200].map((start) => ({ stream: bases[0], start, length: 100 }))
    expect(new ExtentStream('volume', extents).extents).toEqual([{ stream: bases[0], start: 0, length: 300 }])
    const apart = new ExtentStream('volume', [extents[0]!, { ...extents[1]!, stream: bases[1] }])
    expect(apart.extents.length).toBe(2)
  })
})

describe('deliver', () => {
  const base = makeBase(5)
  const stream = new ExtentStream('volume', [{ stream: base, start: 1000, length: 500 }, { stream: base, start: 3000, length: 500 }])

  function ask(offset: number, length: number): Promise<'done' | Uint8Array> {
    return new Promise((resolve, reject) => {
      stream.deliver!(offset, length, { header: new Uint8Array(16), ready: (send) => send(), done: () => resolve('done'), send: resolve, fail: reject })
    })
  }

  test('what lies in one range is sent by the stream it lies in', async () => {
    expect(await ask(10, 90)).toBe('done')
    expect(await ask(510, 90)).toBe('done')
    expect(base.delivered).toEqual([{ offset: 1010, length: 90 }, { offset: 3010, length: 90 }])
  })

  test('what lies in two is read and handed over', async () => {
    const bytes = await ask(450, 100)
    expect(Buffer.from(bytes as Uint8Array)).toEqual(Buffer.from(await stream.read(450, 100)))
    expect(base.delivered.length).toBe(2)
  })

  test('a failure of one of them reaches the caller', async () => {
    const broken: ReadAt = { name: 'x', size: 10, peek: () => undefined, read: () => Promise.reject(new Error('gone')), deliver: () => undefined }
    const mixed = new ExtentStream('volume', [{ stream: base, start: 0, length: 10 }, { stream: broken, start: 0, length: 10 }])
    const failed = new Promise((resolve) => mixed.deliver!(5, 10, { header: new Uint8Array(16), ready: (send) => send(), done: () => resolve('done'), send: resolve, fail: resolve }))
    expect(await failed).toMatchObject({ message: 'gone' })
  })

  test('there is none over streams that cannot', () => {
    expect(new ExtentStream('volume', [{ stream: new MemoryStream(new Uint8Array(10)), start: 0, length: 10 }]).deliver).toBeUndefined()
  })
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compareContents, FINE_BLOCK } from '#src/browse/compare-contents.js'
import { changedRanges, imageVersionOf } from '#src/browse/diff-images.js'
import { RangeList } from '#src/bytes/range-list.js'
import type { ReadAt } from '#src/bytes/read-at.js'
import { KeyError } from '#src/errors/errors.js'
import { memoryImage } from '../support/memory-image.js'

const CHUNK = 4 * FINE_BLOCK

/** An image as marks: which byte of each block is set, if any. */
const marks = fc.array(fc.option(fc.tuple(fc.nat(FINE_BLOCK - 1), fc.integer({ min: 1, max: 255 })), { freq: 2 }), { minLength: 1, maxLength: 40 })

function draw(blocks: readonly ([number, number] | null)[], cut: number): Uint8Array {
  const bytes = new Uint8Array(blocks.length * FINE_BLOCK)
  for (const [i, mark] of blocks.entries()) if (mark !== null) bytes[i * FINE_BLOCK + mark[0]] = mark[1]
  return bytes.subarray(0, bytes.length - cut)
}

async function compare(before: ReadAt, after: ReadAt, candidates: RangeList): Promise<{ ranges: [number, number][]; lost: unknown[]; done: number }> {
  const ranges: [number, number][] = []
  const lost: unknown[] = []
  let done = 0
  await compareContents(before, after, candidates, {
    onRange: (start, end) => void ranges.push([start, end]),
    onLost: (error) => void lost.push(error),
    onProgress: (bytes) => void (done = bytes),
  })
  return { ranges, lost, done }
}

function whole(a: ReadAt, b: ReadAt): RangeList {
  const all = new RangeList()
  all.add(0, Math.max(a.size, b.size))
  return all
}

/** The blocks that differ, byte for byte; what only one has differs. */
function expectedRanges(a: Uint8Array, b: Uint8Array): [number, number][] {
  const common = Math.min(a.length, b.length)
  const list = new RangeList()
  for (let at = 0; at < common; at += FINE_BLOCK) {
    const end = Math.min(common, at + FINE_BLOCK)
    if (!Buffer.from(a.subarray(at, end)).equals(b.subarray(at, end))) list.add(at, end)
  }
  list.add(common, Math.max(a.length, b.length))
  return [...list].map(({ offset, length }) => [offset, offset + length])
}

test('from indices or without them, keys and chunk sizes the same or not: the blocks whose bytes differ', async () => {
  const cut = fc.nat(FINE_BLOCK - 1)
  await fc.assert(
    fc.asyncProperty(marks, marks, cut, cut, fc.constantFrom(CHUNK, 2 * CHUNK), async (one, other, cutA, cutB, chunkSize) => {
      // The second has the start of the first, and something of its own.
      const blocks = one.map((mark, i) => (i % 3 === 0 && i < other.length ? other[i]! : mark))
      const [a, b] = [draw(one, cutA), draw([...blocks, ...other.slice(one.length)], cutB)]
      const expected = expectedRanges(a, b)
      const before = memoryImage(a, { chunkSize: CHUNK })
      const same = memoryImage(b, { chunkSize: CHUNK })
      const candidates = await changedRanges(await imageVersionOf(before), await imageVersionOf(same))
      expect(await compare(before, same, candidates)).toEqual({ ranges: expected, lost: [], done: candidates.bytes })
      const foreign = memoryImage(b, { chunkSize, digestDomain: 'cc' })
      const all = whole(before, foreign)
      expect(await compare(before, foreign, all)).toEqual({ ranges: expected, lost: [], done: all.bytes })
    }),
    { numRuns: 60 },
  )
})

test('holes of both are not read, and nothing outside of the candidates', async () => {
  const [a, b] = [new Uint8Array(64 * CHUNK), new Uint8Array(64 * CHUNK)]
  a[50 * CHUNK] = b[50 * CHUNK] = 1
  b[60 * CHUNK + 5000] = 1
  const [before, after] = [memoryImage(a, { chunkSize: CHUNK }), memoryImage(b, { chunkSize: CHUNK, digestDomain: 'cc' })]
  const { ranges } = await compare(before, after, whole(before, after))
  expect(ranges).toEqual([[60 * CHUNK + FINE_BLOCK, 60 * CHUNK + 2 * FINE_BLOCK]])
  expect(before.reads).toEqual([[50 * CHUNK, CHUNK], [60 * CHUNK, CHUNK]])
})

test('few pieces are under way at once, however many there are', async () => {
  const bytes = new Uint8Array(100 * CHUNK).fill(1)
  let [running, most] = [0, 0]
  const slow = (): ReadAt => {
    const image = memoryImage(bytes, { chunkSize: CHUNK })
    return {
      ...image,
      read: async (offset, length) => {
        most = Math.max(most, ++running)
        await new Promise((resolve) => setImmediate(resolve))
        running--
        return image.read(offset, length)
      },
    }
  }
  const [before, after] = [slow(), slow()]
  expect((await compare(before, after, whole(before, after))).ranges).toEqual([])
  expect(most).toBeGreaterThan(2)
  expect(most).toBeLessThanOrEqual(16)
})

test('what is lost counts as different and is told; a missing key ends it', async () => {
  const bytes = new Uint8Array(4 * CHUNK).fill(7)
  const before = memoryImage(bytes, { chunkSize: CHUNK, lost: 2 })
  const after = memoryImage(bytes, { chunkSize: CHUNK })
  const { ranges, lost } = await compare(before, after, whole(before, after))
  expect(ranges).toEqual([[2 * CHUNK, 3 * CHUNK]])
  expect(lost).toHaveLength(1)
  const locked = { ...after, read: () => Promise.reject(new KeyError('no key')) }
  await expect(compare(before, locked, whole(before, locked))).rejects.toThrow(KeyError)
})

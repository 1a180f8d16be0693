import fc from 'fast-check'
import { expect, test } from 'vitest'
import { changedRanges, imageVersionOf, whyNotComparable, type ImageVersion } from '#src/browse/diff-images.js'
import { UnsupportedError } from '#src/errors/errors.js'
import { memoryImage, type MemoryImageOptions } from '../support/memory-image.js'

const STEP = 16

const image = (bytes: Uint8Array, options: MemoryImageOptions = {}): Promise<ImageVersion> => imageVersionOf(memoryImage(bytes, options))

test('exactly the chunks that differ, and what one of them has not; joined and ascending', async () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 300 * STEP, max: 1 })
  const page = fc.constantFrom(Infinity, 1, 3, 64)
  await fc.assert(
    fc.asyncProperty(bytes, bytes, fc.array(fc.nat(300 * STEP)), page, page, async (a, other, flips, pageA, pageB) => {
      // Mostly the same bytes: with others of its own length, and with a few of its own changed.
      for (const b of [other, flipped(a, flips)]) {
        const ranges = await changedRanges(await image(a, { page: pageA }), await image(b, { page: pageB }))
        const size = Math.max(a.length, b.length)
        const expected: number[] = []
        for (let at = 0; at < size; at += STEP) {
          const same = Buffer.from(a.subarray(at, at + STEP)).equals(b.subarray(at, at + STEP))
          if (!same) expected.push(at)
        }
        const told = [...ranges].flatMap(({ offset, length }) => Array.from({ length: Math.ceil(length / STEP) }, (_, i) => offset + i * STEP))
        expect(told).toEqual(expected)
        for (let i = 1; i < ranges.count; i++) expect(ranges.startOf(i)).toBeGreaterThan(ranges.endOf(i - 1))
        if (ranges.count > 0) expect(ranges.endOf(ranges.count - 1)).toBeLessThanOrEqual(size)
      }
    }),
  )
})

function flipped(bytes: Uint8Array, places: readonly number[]): Uint8Array {
  const copy = bytes.slice()
  for (const place of places) copy[place % copy.length]! ^= 1
  return copy
}

test('an image that grew or shrank differs where it ends: half a chunk tells nothing of a whole one', async () => {
  const short = await image(new Uint8Array(STEP + 4))
  const long = await image(new Uint8Array(3 * STEP))
  expect([...(await changedRanges(short, long))]).toEqual([{ offset: STEP, length: 2 * STEP }])
  expect([...(await changedRanges(long, short))]).toEqual([{ offset: STEP, length: 2 * STEP }])
})

test('more chunks than are compared in one go', async () => {
  const a = new Uint8Array(200_000 * STEP)
  const b = flipped(a, [0, 65_535 * STEP, 65_536 * STEP, 199_999 * STEP + 3])
  expect([...(await changedRanges(await image(a), await image(b)))]).toEqual([
    { offset: 0, length: STEP },
    { offset: 65_535 * STEP, length: 2 * STEP },
    { offset: 199_999 * STEP, length: STEP },
  ])
})

test('two keys, a key and none, an unknown key, another chunk size, no chunks of one size: refused with the reason', async () => {
  const zeros = new Uint8Array(64)
  const plain = await image(zeros)
  const keyed = await image(zeros, { digestDomain: 'aa'.repeat(32) })
  const cases: [ImageVersion, ImageVersion, RegExp][] = [
    [keyed, await image(zeros, { digestDomain: 'bb'.repeat(32) }), /encrypted with key aaaaaaaaaaaaaaaa, .* with key bbbbbbbbbbbbbbbb/],
    [plain, keyed, /is not encrypted, .* is encrypted with key a/],
    [{ ...keyed, chunks: { ...keyed.chunks!, digestDomain: undefined } }, keyed, /not known which key/],
    [plain, await image(zeros, { chunkSize: 32 }), /16 bytes.* 32/],
    [plain, { ...plain, chunks: { ...plain.chunks!, chunkSize: undefined } }, /no disk image/],
    [plain, { ...plain, chunks: undefined }, /no disk image/],
  ]
  for (const [before, after, reason] of cases) {
    expect(whyNotComparable(before, after)).toMatch(reason)
    await expect(changedRanges(before, after)).rejects.toThrow(UnsupportedError)
    await expect(changedRanges(before, after)).rejects.toThrow(reason)
  }
  expect(whyNotComparable(keyed, keyed)).toBeUndefined()
})

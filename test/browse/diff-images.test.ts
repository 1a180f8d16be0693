import fc from 'fast-check'
import { expect, test } from 'vitest'
import { changedRanges, type ImageVersion } from '#src/browse/diff-images.js'
import { UnsupportedError } from '#src/errors/errors.js'

const STEP = 16

/** An image of bytes, its chunks named by what they hold. */
function image(bytes: Uint8Array, more: Partial<ImageVersion> = {}, step = STEP): ImageVersion {
  const keyAt = (i: number): string => Buffer.from(bytes.subarray(i * step, (i + 1) * step)).toString('hex')
  return { name: 'disk', size: bytes.length, key: undefined, chunks: { count: Math.ceil(bytes.length / step), chunkSize: step, keyAt }, ...more }
}

test('ranges hold every byte that differs, are joined, ascending and inside the larger image', async () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 10 * STEP, max: 1 })
  await fc.assert(
    fc.asyncProperty(bytes, bytes, async (a, b) => {
      const ranges = await changedRanges(image(a), image(b))
      const size = Math.max(a.length, b.length)
      let end = -1
      for (const { offset, length } of ranges) {
        expect(offset).toBeGreaterThan(end)
        expect(offset % STEP).toBe(0)
        end = offset + length
        expect(end).toBeLessThanOrEqual(size)
      }
      for (let i = 0; i < size; i++) {
        if (a[i] !== b[i]) expect(ranges.some(({ offset, length }) => i >= offset && i < offset + length)).toBe(true)
      }
      expect(await changedRanges(image(a), image(a))).toEqual([])
    }),
  )
})

test('an image that grew differs where it ends: half a chunk tells nothing of a whole one', async () => {
  const a = new Uint8Array(STEP + 4)
  const b = new Uint8Array(3 * STEP)
  expect(await changedRanges(image(a), image(b))).toEqual([{ offset: STEP, length: 2 * STEP }])
})

test('entries that have to be loaded are waited for', async () => {
  const a = image(new Uint8Array(4 * STEP))
  let loaded = -1
  const keyAt = (i: number): string => {
    if (loaded !== i) throw new Error('not loaded')
    return a.chunks!.keyAt(i)
  }
  const pending = (i: number): Promise<void> | undefined => (loaded === i ? undefined : Promise.resolve().then(() => void (loaded = i)))
  const paged = { ...a, chunks: { ...a.chunks!, keyAt, pending } }
  expect(await changedRanges(a, paged)).toEqual([])
})

test.each([
  ['another chunk size', image(new Uint8Array(64), {}, 32)],
  ['another key', image(new Uint8Array(64), { key: '04' })],
  ['no chunks of one size', image(new Uint8Array(64), { chunks: undefined })],
])('%s is refused with the reason', async (_what, other) => {
  await expect(changedRanges(image(new Uint8Array(64)), other)).rejects.toThrow(UnsupportedError)
})

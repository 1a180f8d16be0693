import { unlinkSync } from 'node:fs'
import fc from 'fast-check'
import { afterEach, expect, it } from 'vitest'
import type { LentBytes } from '#src/bytes/read-at.js'
import { TruncatedError } from '#src/errors/errors.js'
import { ChunkRig, noise } from '../support/chunk-rig.js'
import { digestOf } from '../support/datastore-writer.js'

const KiB = 1024
const PIECES = [noise(70_000, 3), noise(1, 5), noise(130_000, 7), Buffer.alloc(65_536), noise(16, 9), noise(200_000, 11)]
const WHOLE = Buffer.concat(PIECES)

let rig: ChunkRig | undefined
afterEach(async () => {
  await rig?.close()
  rig = undefined
})

const joined = ({ pieces }: LentBytes): Buffer => Buffer.concat(pieces)

it('any range is lent as it is, cold or cached, and everything comes back', async () => {
  rig = new ChunkRig()
  const stream = rig.dynamic(PIECES)
  const range = fc.tuple(fc.nat(WHOLE.length), fc.nat(WHOLE.length)).map(([a, b]) => [Math.min(a, b), Math.abs(a - b)] as const)
  await fc.assert(
    fc.asyncProperty(fc.array(range, { minLength: 1, maxLength: 5 }), async (ranges) => {
      const loans = await Promise.all(ranges.map(async ([offset, length]) => stream.lend(offset, length)))
      loans.forEach((lent, i) => {
        const [offset, length] = ranges[i]!
        expect(joined(lent).equals(WHOLE.subarray(offset, offset + length))).toBe(true)
        lent.release()
      })
      expect(rig!.cache.pinnedBytes).toBe(0)
    }),
    { numRuns: 60 },
  )
})

it('what is in memory is lent at once and where it lies; small pieces are copies', async () => {
  rig = new ChunkRig()
  const stream = rig.dynamic(PIECES)
  const first = await stream.lend(0, 40 * KiB)
  const again = stream.lend(0, 40 * KiB)
  if (again instanceof Promise) throw new Error('not at once')
  expect(again.pieces[0]!.buffer).toBe(rig.cache.memory)
  expect(rig.cache.pinnedBytes).toBe(70_000)
  first.release()
  again.release()
  expect(rig.cache.pinnedBytes).toBe(0)
  const small = await stream.lend(0, 4 * KiB)
  expect(small.pieces[0]!.buffer).not.toBe(rig.cache.memory)
  expect(rig.cache.pinnedBytes).toBe(0)
})

it('who does not give back takes half of the cache at most: the rest is copied, and others get on', async () => {
  rig = new ChunkRig({ cacheBytes: 512 * KiB })
  const whole = noise(4096 * KiB, 21)
  const stream = rig.fixed(whole, 64 * KiB)
  const held: LentBytes[] = []
  for (let at = 0; at < whole.length; at += 64 * KiB) held.push(await stream.lend(at, 64 * KiB))
  expect(rig.cache.pinnedBytes).toBeLessThanOrEqual(256 * KiB)
  expect(rig.cache.pinnedBytes).toBeGreaterThan(0)
  expect(Buffer.from(await stream.read(0, whole.length)).equals(whole)).toBe(true)
  held.forEach((lent, i) => expect(joined(lent).equals(whole.subarray(i * 64 * KiB, (i + 1) * 64 * KiB))).toBe(true))
  for (const lent of held) lent.release()
  expect(rig.cache.pinnedBytes).toBe(0)
})

it('more than the cache holds, asked for at once by many', async () => {
  rig = new ChunkRig({ cacheBytes: 256 * KiB })
  const whole = noise(2048 * KiB, 23)
  const stream = rig.fixed(whole, 64 * KiB)
  const loans = await Promise.all(Array.from({ length: 8 }, async () => stream.lend(0, whole.length)))
  for (const lent of loans) {
    expect(joined(lent).equals(whole)).toBe(true)
    lent.release()
  }
})

it('a chunk that is lost: the error says where, and nothing stays pinned', async () => {
  rig = new ChunkRig()
  const stream = rig.dynamic(PIECES)
  unlinkSync(rig.store.chunkPath(digestOf(PIECES[2]!)))
  await stream.read(0, 70_000)
  await expect(stream.lend(0, 200_000)).rejects.toMatchObject({ tag: 'chunk-unavailable', fields: { stream: 'test.didx', offset: 70_001 } })
  expect(rig.cache.pinnedBytes).toBe(0)
})

it('a range outside the stream is refused', () => {
  rig = new ChunkRig()
  const stream = rig.dynamic(PIECES)
  expect(() => stream.lend(WHOLE.length, 1)).toThrow(TruncatedError)
})

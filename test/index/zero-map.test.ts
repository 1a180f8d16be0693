import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseFixedIndex } from '#src/index/fixed-index.js'
import { ZeroChunks } from '#src/index/zero-chunks.js'
import { mapZeros, ZeroMap } from '#src/index/zero-map.js'
import { encodeFixedIndex } from '../support/datastore-writer.js'

test('finds the next chunk of either kind as a linear search does', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 200 }), fc.nat(220), (zeros, from) => {
      const map = new ZeroMap(zeros.length)
      zeros.forEach((zero, i) => zero && map.add(i))
      for (const wanted of [true, false]) {
        const found = zeros.findIndex((zero, i) => i >= from && zero === wanted)
        expect(map.next(from, wanted)).toBe(found < 0 ? zeros.length : found)
      }
      expect(zeros.map((_, i) => map.has(i))).toEqual(zeros)
    }),
  )
})

test('millions of chunks are passed over in a moment', () => {
  const map = new ZeroMap(8 << 20)
  for (let i = 0; i < map.count - 1; i++) map.add(i)
  const start = performance.now()
  for (let n = 0; n < 10; n++) expect(map.next(0, false)).toBe(map.count - 1)
  expect(performance.now() - start).toBeLessThan(1000)
  expect(map.byteLength).toBe(1 << 20)
})

test('an index in memory is mapped by length and digest', () => {
  const zeros = new ZeroChunks()
  const zero = zeros.digestOf(65536)!
  const index = parseFixedIndex(encodeFixedIndex(3 * 65536 + 1, [zero, Buffer.alloc(32, 7), zero, zero], { chunkSize: 65536 }), 'x.fidx')
  const map = mapZeros(index, zeros)
  // The last chunk is shorter: its digest cannot be that of a whole one.
  expect([0, 1, 2, 3].map((i) => map.has(i))).toEqual([true, false, true, false])
  expect(mapZeros(index, undefined).next(0, true)).toBe(4)
})

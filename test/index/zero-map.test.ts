import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ZeroMap } from '#src/index/zero-map.js'

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

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

test('millions of chunks take a bit each, and the one behind them is found', () => {
  const map = new ZeroMap(8 << 20)
  for (let i = 0; i < map.count - 1; i++) map.add(i)
  expect(map.next(0, false)).toBe(map.count - 1)
  expect(map.byteLength).toBe(1 << 20)
})

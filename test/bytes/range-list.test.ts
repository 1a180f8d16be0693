import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RangeList } from '#src/bytes/range-list.js'

/** Gap and length of each range. */
const pairs = fc.array(fc.tuple(fc.nat(3), fc.nat(5)), { maxLength: 300 })

function build(steps: readonly (readonly [number, number])[]): { list: RangeList; bits: Set<number>; size: number } {
  const list = new RangeList()
  const bits = new Set<number>()
  let at = 0
  for (const [gap, length] of steps) {
    at += gap
    list.add(at, at + length)
    for (let i = 0; i < length; i++) bits.add(at++)
  }
  return { list, bits, size: at }
}

test('holds exactly the bytes that were added, in ranges that do not touch', () => {
  fc.assert(
    fc.property(pairs, fc.nat(600), (steps, cut) => {
      const { list, bits } = build(steps)
      const told = [...list].flatMap(({ offset, length }) => Array.from({ length }, (_, i) => offset + i))
      expect(told).toEqual([...bits])
      expect(list.bytes).toBe(bits.size)
      for (let i = 1; i < list.count; i++) expect(list.startOf(i)).toBeGreaterThan(list.endOf(i - 1))
      const clipped = [...list.clip(cut)].flatMap(({ offset, length }) => Array.from({ length }, (_, i) => offset + i))
      expect(clipped).toEqual(told.filter((byte) => byte < cut))
      const rest = [...list.complement(cut)].flatMap(({ offset, length }) => Array.from({ length }, (_, i) => offset + i))
      expect(rest).toEqual(Array.from({ length: cut }, (_, i) => i).filter((byte) => !bits.has(byte)))
    }),
  )
})

test('finds the first range that ends behind an offset', () => {
  fc.assert(
    fc.property(pairs, (steps) => {
      const { list, size } = build(steps)
      for (let at = 0; at <= size; at++) {
        const expected = [...list].findIndex(({ offset, length }) => offset + length > at)
        expect(list.firstBehind(at)).toBe(expected < 0 ? list.count : expected)
      }
    }),
    { numRuns: 30 },
  )
})

test('the union of two lists', () => {
  fc.assert(
    fc.property(pairs, pairs, (one, other) => {
      const [a, b] = [build(one), build(other)]
      const told = [...a.list.union(b.list)].flatMap(({ offset, length }) => Array.from({ length }, (_, i) => offset + i))
      expect(told).toEqual([...new Set([...a.bits, ...b.bits])].sort((x, y) => x - y))
    }),
  )
})

test('a range out of order is a bug that shows', () => {
  const list = new RangeList()
  list.add(10, 20)
  expect(() => list.add(15, 30)).toThrow(/bug/)
})

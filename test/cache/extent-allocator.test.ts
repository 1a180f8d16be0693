import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ExtentAllocator, PAGE } from '#src/cache/extent-allocator.js'

test('an extent is a whole number of pages, and what is not asked for stays free', () => {
  const extents = new ExtentAllocator(10 * PAGE + 17)
  expect(extents.size).toBe(10 * PAGE)
  expect(extents.allocate(1)).toBe(0)
  expect(extents.allocate(PAGE + 1)).toBe(PAGE)
  expect(extents.freeBytes).toBe(7 * PAGE)
  expect(extents.allocate(8 * PAGE)).toBe(-1)
})

test('neighbours join when they come back', () => {
  const extents = new ExtentAllocator(4 * PAGE)
  const places = [0, 1, 2, 3].map(() => extents.allocate(PAGE))
  for (const i of [1, 3, 0, 2]) extents.release(places[i]!, PAGE)
  expect(extents.allocate(4 * PAGE)).toBe(0)
})

test('releasing twice is found', () => {
  const extents = new ExtentAllocator(4 * PAGE)
  const at = extents.allocate(2 * PAGE)
  extents.release(at, 2 * PAGE)
  expect(() => extents.release(at, PAGE)).toThrow('released twice')
})

test('any sequence of allocations and releases: extents never overlap, and nothing is lost', () => {
  const step = fc.record({ length: fc.integer({ min: 1, max: 5 * PAGE }), release: fc.nat() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const extents = new ExtentAllocator(32 * PAGE)
      const held: { at: number; length: number }[] = []
      for (const { length, release } of steps) {
        const at = extents.allocate(length)
        if (at >= 0) held.push({ at, length })
        else extents.release(...take(held, release))
        const taken = held.map(({ at, length }) => [at, at + ExtentAllocator.roundUp(length)] as const)
        taken.sort((a, b) => a[0] - b[0])
        for (let i = 1; i < taken.length; i++) expect(taken[i]![0]).toBeGreaterThanOrEqual(taken[i - 1]![1])
        const sum = taken.reduce((total, [from, to]) => total + to - from, 0)
        expect(extents.freeBytes).toBe(extents.size - sum)
      }
      while (held.length > 0) extents.release(...take(held, 0))
      expect(extents.allocate(extents.size)).toBe(0)
    }),
  )
})

function take(held: { at: number; length: number }[], pick: number): [number, number] {
  const [{ at, length }] = held.splice(pick % held.length, 1) as [{ at: number; length: number }]
  return [at, length]
}

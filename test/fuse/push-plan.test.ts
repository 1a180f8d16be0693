import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PushPlan, WINDOW } from '#src/fuse/push-plan.js'

test('two neighbours in a row are evidence; one file, or any two, are not', () => {
  const plan = new PushPlan()
  expect(plan.read('d', 10, 1000)).toBeUndefined()
  expect(plan.read('d', 50, 1000)).toBeUndefined()
  expect(plan.read('d', 51, 1000)).toEqual({ from: 52, to: 52 + WINDOW, marker: 52 + WINDOW / 2 })
})

test('only the marker moves the window on; reads inside it start nothing', () => {
  const plan = new PushPlan()
  plan.read('d', 0, 1000)
  const first = plan.read('d', 1, 1000)!
  expect(plan.read('d', first.from + 3, 1000)).toBeUndefined()
  expect(plan.read('d', first.from + 4, 1000)).toBeUndefined()
  expect(plan.read('d', first.marker, 1000)).toEqual({ from: first.to, to: first.to + WINDOW, marker: first.to + WINDOW / 2 })
})

test('behind the window the evidence starts anew', () => {
  const plan = new PushPlan()
  plan.read('d', 0, 1000)
  plan.read('d', 1, 1000)
  expect(plan.read('d', 500, 1000)).toBeUndefined()
  expect(plan.read('d', 501, 1000)).toMatchObject({ from: 502 })
})

test('a read before the first window is a new pass: the pages were dropped', () => {
  const plan = new PushPlan()
  plan.read('d', 0, 50)
  expect(plan.read('d', 1, 50)).toEqual({ from: 2, to: 50, marker: -1 })
  expect(plan.read('d', 0, 50)).toBeUndefined()
  expect(plan.read('d', 1, 50)).toEqual({ from: 2, to: 50, marker: -1 })
})

test('directories do not mix, and however many there are, memory is bounded', () => {
  const plan = new PushPlan()
  for (let i = 0; i < 5000; i++) expect(plan.read(String(i), 0, 10)).toBeUndefined()
  expect(plan.read('4999', 1, 10)).toBeDefined()
  expect(plan.read('0', 1, 10)).toBeUndefined()
})

test('whatever is read, windows lie inside the directory and behind the file that was read', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 400 }), fc.array(fc.nat(399)), (count, reads) => {
      const plan = new PushPlan()
      for (const index of reads.filter((read) => read < count)) {
        const window = plan.read('d', index, count)
        if (window === undefined) continue
        expect(window.from).toBeGreaterThan(index)
        expect(window.to).toBeLessThanOrEqual(count)
        expect(window.to - window.from).toBeLessThanOrEqual(WINDOW)
        if (window.marker >= 0) expect(window.marker >= window.from && window.marker < window.to).toBe(true)
      }
    }),
  )
})

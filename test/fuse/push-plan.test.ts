import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CREDIT, MARKER_EVERY, PushPlan, WINDOW, type Window } from '#src/fuse/push-plan.js'

const READER = 4711

/** A directory of `count` small files; tells what is pushed, and which file of that is left out. */
class Directory {
  readonly #plan: PushPlan
  readonly #name: string
  readonly #count: number
  readonly #caller: number

  constructor(plan: PushPlan, count: number, name = 'd', caller = READER) {
    this.#plan = plan
    this.#count = count
    this.#name = name
    this.#caller = caller
  }

  read(index: number) {
    return this.#push(this.#plan.read(this.#name, index, this.#caller))
  }

  list() {
    return this.#push(this.#plan.listed(this.#name, this.#caller))
  }

  #push(window: Window | undefined): { from: number; to: number; marker: number | undefined } | undefined {
    if (window === undefined) return undefined
    const to = Math.min(window.to, this.#count)
    let marker: number | undefined
    for (let i = window.from; i < to; i++) {
      if (!this.#plan.leavesOut(this.#name, i, this.#caller)) continue
      expect(marker).toBeUndefined()
      marker = i
    }
    return { from: window.from, to, marker }
  }
}

const MIDDLE = MARKER_EVERY - 1

test('a file and one close behind it are evidence; one file, or any two, are not', () => {
  const folder = new Directory(new PushPlan(), 1000)
  expect(folder.read(10)).toBeUndefined()
  expect(folder.read(50)).toBeUndefined()
  expect(folder.read(49)).toBeUndefined()
  expect(folder.read(51)).toEqual({ from: 52, to: 52 + WINDOW, marker: 52 + MIDDLE })
})

test('the file that was left out moves the window on; reads inside it start nothing', () => {
  const folder = new Directory(new PushPlan(), 1000)
  folder.read(0)
  const first = folder.read(1)!
  expect([3, 4, 5].map((index) => folder.read(first.from + index))).toEqual([undefined, undefined, undefined])
  expect(folder.read(first.marker!)).toEqual({ from: first.to, to: first.to + WINDOW, marker: first.to + MIDDLE })
  expect(folder.read(first.marker!)).toBeUndefined()
})

test('behind the window, and before it, the evidence starts anew', () => {
  const folder = new Directory(new PushPlan(), 1000)
  folder.read(100)
  folder.read(101)
  expect([500, 501].map((index) => folder.read(index)?.from)).toEqual([undefined, 502])
  expect([0, 1].map((index) => folder.read(index)?.from)).toEqual([undefined, 2])
})

test('files that are read although they were pushed are pushed again: the kernel has dropped them', () => {
  const folder = new Directory(new PushPlan(), 90)
  folder.read(0)
  folder.read(1)
  const pushed = Array.from({ length: 20 }, (_, i) => folder.read(2 + i)).filter((window) => window !== undefined)
  expect(pushed).toHaveLength(2)
  expect(pushed[0]!.from).toBeLessThan(15)
})

test('who reads on is given the next directory when it is listed, who only lists is not', () => {
  const plan = new PushPlan()
  const first = new Directory(plan, 80, 'first')
  expect(first.list()).toBeUndefined()
  first.read(0)
  first.read(1)
  expect(new Directory(plan, 80, 'second').list()).toEqual({ from: 0, to: 80, marker: MIDDLE - 78 })
  expect(new Directory(plan, 80, 'third', READER + 1).list()).toBeUndefined()
})

test('who stops reading is given a few directories and no more, until a file that was left out is read', () => {
  const plan = new PushPlan()
  const start = new Directory(plan, 2, 'start')
  start.read(0)
  start.read(1)
  const given = Array.from({ length: 100 }, (_, i) => new Directory(plan, 30, `d${i}`).list())
  const files = given.reduce((sum, window) => sum + (window === undefined ? 0 : window.to), 0)
  expect(files).toBeGreaterThanOrEqual(CREDIT)
  expect(files).toBeLessThan(CREDIT + 30)
  const last = given.findLastIndex((window) => window?.marker !== undefined)
  new Directory(plan, 30, `d${last}`).read(given[last]!.marker!)
  expect(new Directory(plan, 30, 'more').list()).toMatchObject({ from: 0, to: 30 })
})

test('in small directories one file in so many is left out, not one in each', () => {
  const plan = new PushPlan()
  const start = new Directory(plan, 2, 'start')
  start.read(0)
  start.read(1)
  const marked = Array.from({ length: 20 }, (_, i) => new Directory(plan, 5, `d${i}`).list()).filter((window) => window?.marker !== undefined)
  expect(marked).toHaveLength((20 * 5) / MARKER_EVERY)
})

test('several readers are told apart, and however many there are, memory is bounded', () => {
  const plan = new PushPlan()
  const [a, b] = [new Directory(plan, 500, 'a', 1), new Directory(plan, 500, 'b', 2)]
  a.read(0)
  b.read(7)
  expect(a.read(1)).toMatchObject({ from: 2 })
  expect(b.read(8)).toMatchObject({ from: 9 })
  for (let i = 0; i < 100; i++) new Directory(plan, 500, `x${i}-`).read(0)
  expect(a.read(2)).toBeUndefined()
})

test('whatever is read, windows go forward and lie behind what was read', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(400), { maxLength: 200 }), (reads) => {
      const folder = new Directory(new PushPlan(), 400)
      for (const index of reads) {
        const window = folder.read(index)
        if (window === undefined) continue
        expect(window.from).toBeGreaterThan(index)
        expect(window.to - window.from).toBeLessThanOrEqual(WINDOW)
        if (window.marker !== undefined) expect(window.marker).toBeGreaterThanOrEqual(window.from)
      }
    }),
  )
})

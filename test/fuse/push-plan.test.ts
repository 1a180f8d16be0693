import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MARKER, PushPlan, WINDOW } from '#src/fuse/push-plan.js'

/** A directory of `count` files 0, 1, 2 ...; returns what a read causes to be pushed. */
class Directory {
  readonly #plan: PushPlan
  readonly #name: string
  readonly #count: number

  constructor(plan: PushPlan, count: number, name = '') {
    this.#plan = plan
    this.#count = count
    this.#name = name
  }

  read(index: number): { from: number; to: number; marker: number | undefined } | undefined {
    const step = this.#plan.read(this.#key(index))
    if (step.kind === 'watch') this.#plan.expect(index + 1 < this.#count ? this.#key(index + 1) : undefined)
    if (step.kind !== 'push') return undefined
    const from = Number(step.after.slice(this.#name.length)) + 1
    const to = Math.min(this.#count, from + WINDOW)
    const keys = Array.from({ length: to - from }, (_, i) => this.#key(from + i))
    this.#plan.pushed(keys)
    return { from, to, marker: from + MARKER < to ? from + MARKER : undefined }
  }

  #key(index: number): string {
    return `${this.#name}${index}`
  }
}

test('a file and the one behind it are evidence; one file, or any two, are not', () => {
  const folder = new Directory(new PushPlan(), 1000)
  expect(folder.read(10)).toBeUndefined()
  expect(folder.read(50)).toBeUndefined()
  expect(folder.read(51)).toEqual({ from: 52, to: 52 + WINDOW, marker: 52 + WINDOW / 2 })
})

test('only the marker moves the window on; reads inside it start nothing', () => {
  const folder = new Directory(new PushPlan(), 1000)
  folder.read(0)
  const first = folder.read(1)!
  expect([first.from + 3, first.from + 4, first.from + 5].map((index) => folder.read(index))).toEqual([undefined, undefined, undefined])
  expect(folder.read(first.marker!)).toEqual({ from: first.to, to: first.to + WINDOW, marker: first.to + WINDOW / 2 })
  expect(folder.read(first.marker!)).toBeUndefined()
})

test('behind the window the evidence starts anew', () => {
  const folder = new Directory(new PushPlan(), 1000)
  folder.read(0)
  folder.read(1)
  expect(folder.read(500)).toBeUndefined()
  expect(folder.read(501)).toMatchObject({ from: 502 })
})

test('at the end of a directory the window is shorter, and its marker leads no further', () => {
  const folder = new Directory(new PushPlan(), 80)
  folder.read(0)
  const window = folder.read(1)!
  expect(window).toEqual({ from: 2, to: 80, marker: 2 + MARKER })
  expect(folder.read(window.marker!)).toMatchObject({ from: 80, to: 80 })
})

test('a second pass, after the pages were dropped, is pushed again', () => {
  const folder = new Directory(new PushPlan(), 50)
  folder.read(0)
  folder.read(1)
  expect(folder.read(0)).toBeUndefined()
  expect(folder.read(1)).toMatchObject({ from: 2, to: 50 })
})

test('several readers are told apart, and however many there are, memory is bounded', () => {
  const plan = new PushPlan()
  const [a, b] = [new Directory(plan, 500, 'a'), new Directory(plan, 500, 'b')]
  a.read(0)
  b.read(7)
  expect(a.read(1)).toMatchObject({ from: 2 })
  expect(b.read(8)).toMatchObject({ from: 9 })
  for (let i = 0; i < 100; i++) new Directory(plan, 500, `x${i}-`).read(0)
  expect(a.read(52)).toBeUndefined()
})

test('whatever is read, windows lie inside the directory, and the marker inside the window', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 400 }), fc.array(fc.nat(399)), (count, reads) => {
      const folder = new Directory(new PushPlan(), count)
      for (const index of reads.filter((read) => read < count)) {
        const window = folder.read(index)
        if (window === undefined) continue
        expect(window.to).toBeLessThanOrEqual(count)
        expect(window.to - window.from).toBeLessThanOrEqual(WINDOW)
        if (window.marker !== undefined) expect(window.marker >= window.from && window.marker < window.to).toBe(true)
      }
    }),
  )
})

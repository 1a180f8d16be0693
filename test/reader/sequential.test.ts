import { expect, test } from 'vitest'
import { SequentialDetector } from '#src/reader/sequential.js'

const KiB = 1024
const MiB = 1024 * KiB

test('three small requests in a row, two large ones', () => {
  const small = new SequentialDetector()
  expect([0, 1, 2, 3].map((i) => small.note(i * 64 * KiB, 64 * KiB))).toEqual([false, false, true, true])
  const large = new SequentialDetector()
  expect([0, 1].map((i) => large.note(i * MiB, MiB))).toEqual([false, true])
})

test('large requests at random places are no run', () => {
  const random = new SequentialDetector()
  for (let i = 0; i < 40; i++) expect(random.note(((i * 7919) % 1000) * 10 * MiB, MiB)).toBe(false)
})

test('readers that take turns are told apart', () => {
  const several = new SequentialDetector()
  const seen = [0, 1, 2].flatMap((i) => [0, 1, 2, 3].map((reader) => several.note(reader * 1000 * MiB + i * 64 * KiB, 64 * KiB)))
  expect(seen).toEqual([...Array<boolean>(8).fill(false), ...Array<boolean>(4).fill(true)])
})

import { expect, test } from 'vitest'
import { VersionFilter } from '#src/browse/find-versions.js'
import type { Step } from '#src/browse/walk.js'
import { emptyAttr } from '#src/tree/tree.js'

function step(name: string, size: number): Step {
  const bytes = Buffer.from(name)
  return { found: { id: { hi: 0, lo: 2 }, name: bytes, attr: { ...emptyAttr(), mode: 0o100644, size } }, path: bytes, depth: 1 }
}

test('each version once, at the newest snapshot that has it', () => {
  const filter = new VersionFilter()
  const sizes = [5, 5, 7, 7]
  const taken = sizes.map((size, i) => {
    filter.begin(`s${i}`)
    return filter.take(step('a', size))?.goneSince ?? (size === 5 ? i : `v${size}@${i}`)
  })
  expect(taken).toEqual([0, 1, 'v7@2', 'v7@3'])
})

test('what the newest snapshots lack is gone since the oldest of them', () => {
  const filter = new VersionFilter()
  for (const name of ['new', 'mid']) filter.begin(name)
  filter.begin('old')
  expect(filter.take(step('a', 1))).toMatchObject({ goneSince: 'mid' })
  filter.begin('older')
  expect(filter.take(step('a', 1))).toBeUndefined()
})

test('an archive that came to an end before the newest snapshot: all of it is gone since then', () => {
  const filter = new VersionFilter('newer')
  filter.begin('last')
  expect(filter.take(step('a', 1))).toMatchObject({ goneSince: 'newer' })
})

test('what was away and was there before is told again', () => {
  const filter = new VersionFilter()
  filter.begin('3')
  expect(filter.take(step('a', 1))?.goneSince).toBeUndefined()
  filter.begin('2')
  filter.begin('1')
  expect(filter.take(step('a', 1))).toMatchObject({ goneSince: '2' })
})

test('a snapshot that could not be read whole says nothing about what is gone', () => {
  const filter = new VersionFilter()
  filter.begin('4')
  expect(filter.take(step('a', 1))?.goneSince).toBeUndefined()
  filter.begin('3')
  filter.markPartial()
  filter.begin('2')
  expect(filter.take(step('a', 1))).toBeUndefined()
  expect(filter.take(step('b', 1))).toMatchObject({ goneSince: '4' })
})

test('nor is anything gone when no newer snapshot could be read whole', () => {
  const filter = new VersionFilter()
  filter.begin('2')
  filter.markPartial()
  filter.begin('1')
  expect(filter.take(step('a', 1))).toMatchObject({ goneSince: undefined })
})

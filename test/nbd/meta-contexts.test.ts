import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RangeList } from '#src/bytes/range-list.js'
import { allocationOf, dirtyBitmap, listExtents, matchContexts } from '#src/nbd/meta-contexts.js'
import { SparseStream } from '../support/sparse-stream.js'

const NAMES = ['base:allocation', 'qemu:dirty-bitmap:x', 'qemu:dirty-bitmap:y']

describe('queries', () => {
  it.each([
    ['base:', true, ['base:allocation']],
    ['base:', false, []],
    ['base:allocation', false, ['base:allocation']],
    ['base:other', true, []],
    ['qemu:', true, NAMES.slice(1)],
    ['qemu:dirty-bitmap:', true, NAMES.slice(1)],
    ['qemu:dirty-bitmap:', false, []],
    ['qemu:dirty-bitmap:y', false, ['qemu:dirty-bitmap:y']],
    ['x-other:', true, []],
    ['', true, []],
  ])('%s, listing %s', (query, listing, expected) => {
    expect(matchContexts(NAMES, query, listing)).toEqual(expected)
  })
})

/** Flags byte by byte. */
function flatten(extents: readonly number[]): number[] {
  const flags: number[] = []
  for (let i = 0; i < extents.length; i += 2) flags.push(...new Array<number>(extents[i]!).fill(extents[i + 1]!))
  return flags
}

const holes = fc.array(fc.boolean(), { minLength: 1, maxLength: 40 })
const range = (size: number) => fc.tuple(fc.nat(size - 1), fc.nat(size - 1)).map(([a, b]) => [Math.min(a, b), Math.abs(a - b) + 1] as const)

it('allocation tells of every byte whether it is a hole, whatever the range', () => {
  const cases = holes.chain((list) => fc.tuple(fc.constant(list), fc.nat(5), range(list.length * 4)))
  fc.assert(
    fc.property(cases, ([list, start, [offset, length]]) => {
      const stream = new SparseStream([...new Array<boolean>(start).fill(false), ...list].map((isHole) => (isHole ? undefined : Buffer.alloc(4, 1))))
      const context = allocationOf(stream, start * 4, list.length * 4)
      const extents = listExtents(context, offset, length, false)
      const expected = list.flatMap((isHole) => new Array<number>(4).fill(isHole ? 3 : 0)).slice(offset, offset + length)
      expect(flatten(extents)).toEqual(expected)
      const one = listExtents(context, offset, length, true)
      expect(one).toEqual(extents.slice(0, 2))
    }),
  )
})

it('a bitmap tells of every byte whether it changed', () => {
  fc.assert(
    fc.property(holes.chain((list) => fc.tuple(fc.constant(list), range(list.length))), ([list, [offset, length]]) => {
      const ranges = new RangeList()
      list.forEach((isDirty, i) => isDirty && ranges.add(i, i + 1))
      const extents = listExtents(dirtyBitmap(ranges, list.length), offset, length, false)
      expect(flatten(extents)).toEqual(list.map(Number).slice(offset, offset + length))
    }),
  )
})

it('changes behind the end of a disk that has become smaller are left out', () => {
  const ranges = new RangeList()
  ranges.add(8, 100)
  expect(listExtents(dirtyBitmap(ranges, 16), 0, 16, false)).toEqual([8, 0, 8, 1])
})

it('one answer has a bounded number of extents, and at least one', () => {
  const ranges = new RangeList()
  for (let i = 0; i < 20_000; i += 2) ranges.add(i, i + 1)
  const extents = listExtents(dirtyBitmap(ranges, 20_000), 0, 20_000, false)
  expect(extents).toHaveLength(2 * 4096)
  expect(flatten(extents)).toHaveLength(4096)
})

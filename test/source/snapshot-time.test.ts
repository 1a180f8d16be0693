import fc from 'fast-check'
import { expect, it } from 'vitest'
import { formatSnapshotTime, isCanonicalSnapshotTime, parseSnapshotTime } from '#src/source/snapshot-time.js'

it('reads and writes the names of snapshot folders', () => {
  expect(parseSnapshotTime('2024-10-07T13:32:11Z')).toBe(1728307931)
  expect(formatSnapshotTime(1728307931)).toBe('2024-10-07T13:32:11Z')
  expect(parseSnapshotTime('0001-01-01T00:00:00Z')).toBe(-62135596800)
  expect(formatSnapshotTime(-62135596800)).toBe('0001-01-01T00:00:00Z')
  expect(formatSnapshotTime(253402300800)).toBeUndefined()
  expect(formatSnapshotTime(1.5)).toBeUndefined()
})

it('normalises as the C library does', () => {
  expect(parseSnapshotTime('2021-02-30T00:00:00Z')).toBe(Date.UTC(2021, 2, 2) / 1000)
  expect(parseSnapshotTime('2021-00-01T00:00:00Z')).toBe(Date.UTC(2020, 11, 1) / 1000)
  expect(parseSnapshotTime('2021-01-00T00:00:00Z')).toBe(Date.UTC(2020, 11, 31) / 1000)
  expect(parseSnapshotTime('2016-12-31T23:59:60Z')).toBe(Date.UTC(2017, 0, 1) / 1000)
  for (const name of ['2021-02-30T00:00:00Z', '2021-00-01T00:00:00Z', '2016-12-31T23:59:60Z']) {
    expect(isCanonicalSnapshotTime(name)).toBe(false)
  }
  expect(isCanonicalSnapshotTime('2016-12-31T23:59:59Z')).toBe(true)
})

it.each([
  '', 'latest', '2021-13-01T00:00:00Z', '2021-01-32T00:00:00Z', '2021-01-01T24:00:00Z', '2021-01-01T00:60:00Z', '2021-01-01T00:00:61Z',
  '2021-01-01T00:00:00', '2021-01-01T00:00:00+00:00', '2021-1-01T00:00:00Z', '2021-01-01 00:00:00Z', '2021-01-01T00:00:00Z\n', '２021-01-01T00:00:00Z',
])('%j is no time', (name) => {
  expect(parseSnapshotTime(name)).toBeUndefined()
}) // prettier-ignore

it('round trip', () => {
  fc.assert(
    fc.property(fc.integer({ min: -62167219200, max: 253402300799 }), (epoch) => {
      expect(parseSnapshotTime(formatSnapshotTime(epoch)!)).toBe(epoch)
    }),
  )
})

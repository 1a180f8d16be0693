import { openSync, closeSync } from 'node:fs'
import { expect, test } from 'vitest'
import { TimeStep } from '#src/restore/time-step.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const at = (mtimeSec: number, mtimeNsec: number) => ({ mtimeSec, mtimeNsec })

test('exact: every nanosecond counts', () => {
  const step = new TimeStep(0, 0)
  expect(step.isSame(at(-5, 1), at(-5, 1))).toBe(true)
  expect(step.isSame(at(5, 1), at(5, 2))).toBe(false)
  expect(step.isSame(at(5, 0), at(6, 0))).toBe(false)
})

test('whole seconds, or every other one: what was lost does not count, all the rest does', () => {
  const fat = new TimeStep(2, 0)
  expect(fat.isSame(at(7, 999_999_999), at(6, 0))).toBe(true)
  expect(fat.isSame(at(7, 0), at(8, 0))).toBe(true)
  expect(fat.isSame(at(7, 0), at(10, 0))).toBe(false)
  expect(fat.isSame(at(7, 5), at(7, 4))).toBe(false)
})

test('steps of 100 ns', () => {
  const step = new TimeStep(0, 100)
  expect(step.isSame(at(7, 123_456_789), at(7, 123_456_700))).toBe(true)
  expect(step.isSame(at(7, 123_456_789), at(7, 123_456_600))).toBe(false)
})

test('the file system of temporary files keeps nanoseconds', () => {
  const fd = openSync(temporaryFolder(), 'r')
  const step = TimeStep.of(fd)
  closeSync(fd)
  expect(step.isSame(at(1, 1), at(1, 2))).toBe(false)
})

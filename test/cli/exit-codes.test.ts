import { expect, test } from 'vitest'
import { EXIT, exitCodeOf } from '#src/cli/exit-codes.js'
import {
  AbortedError, BusyError, ChunkUnavailableError, FormatError, IntegrityError, KeyError, MountError, NodeError, SourceError,
  TruncatedError, UnsupportedError, UsageError, fromPlainError, toPlainError,
} from '#src/errors/errors.js' // prettier-ignore

const table: [Error, number][] = [
  [new FormatError('x'), 3],
  [new TruncatedError('x'), 3],
  [new IntegrityError('x'), 3],
  [new ChunkUnavailableError('x'), 3],
  [new UnsupportedError('x'), 1],
  [new KeyError('x'), 5],
  [new SourceError('x'), 4],
  [new BusyError('x'), 4],
  [new AbortedError('x'), 1],
  [new MountError('x'), 6],
  [new UsageError('x'), 2],
  [new NodeError('ENOENT'), 4],
  [new NodeError('EISDIR'), 1],
  [new TypeError('x'), 1],
]

test.each(table)('%s', (error, code) => {
  expect(exitCodeOf(error)).toBe(code)
  // The same after it came from a daemon.
  expect(exitCodeOf(fromPlainError(toPlainError(error)))).toBe(code)
})

test('the numbers are what the documentation promises', () => {
  expect(EXIT).toEqual({ ok: 0, failed: 1, usage: 2, damaged: 3, unavailable: 4, key: 5, fuse: 6 })
})

test('what is not an error is a failure', () => {
  expect(exitCodeOf('text')).toBe(1)
  expect(exitCodeOf(undefined)).toBe(1)
})

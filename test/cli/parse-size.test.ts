import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatDuration, formatSize, parseCount, parseSize } from '#src/cli/parse-size.js'
import { UsageError } from '#src/errors/errors.js'

test.each([
  ['0', 0], ['268435456', 268435456], ['64M', 67108864], ['64m', 67108864], ['64MiB', 67108864], ['64MB', 67108864],
  ['1.5G', 1610612736], ['2K', 2048], ['1T', 1099511627776], ['10B', 10],
])('%s', (text, bytes) => {
  expect(parseSize(text, '--x')).toBe(bytes)
}) // prettier-ignore

test.each(['', 'M', '-1', '1e3', '0x10', '1 M', '1X', '1.', '9007199254740993', '99999T', 'Infinity', '1MM'])('"%s" is no size', (text) => {
  expect(() => parseSize(text, '--cache-size')).toThrow(UsageError)
  expect(() => parseSize(text, '--cache-size')).toThrow('--cache-size')
})

test('counts have limits', () => {
  expect(parseCount('4', '--x', 1, 4)).toBe(4)
  for (const text of ['0', '5', '1.5', '', 'a', '-1', '99999999999']) expect(() => parseCount(text, '--x', 1, 4)).toThrow(UsageError)
})

test('formatSize is never longer than a column, and never says 1024', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (bytes) => {
      expect(formatSize(bytes)).toMatch(/^\d{1,4}(\.\d)? (B|[KMGTP]iB)$/)
    }),
  )
  expect(formatSize(1023)).toBe('1023 B')
  expect(formatSize(1536)).toBe('1.5 KiB')
})

test.each([[0, '0s'], [59, '59s'], [61, '1m 1s'], [3600, '1h'], [90061, '1d 1h'], [-5, '0s']])('%d seconds', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text)
}) // prettier-ignore

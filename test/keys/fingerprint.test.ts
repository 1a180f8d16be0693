import { expect, test } from 'vitest'
import { formatFingerprint, parseFingerprint } from '#src/keys/fingerprint.js'
import { TEST_FINGERPRINT } from '../support/key-writer.js'

test('a fingerprint with colons, without, in capitals, and what is none', () => {
  const digits = TEST_FINGERPRINT.replaceAll(':', '')
  expect(parseFingerprint(TEST_FINGERPRINT)).toBe(digits)
  expect(formatFingerprint(digits)).toBe(TEST_FINGERPRINT)
  expect(parseFingerprint(digits.toUpperCase())).toBe(digits)
  expect(parseFingerprint(digits.slice(1))).toBeUndefined()
  expect(parseFingerprint('')).toBeUndefined()
})

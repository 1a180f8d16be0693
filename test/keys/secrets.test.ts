import { createSecretKey } from 'node:crypto'
import { expect, test } from 'vitest'
import { FormatError } from '#src/errors/errors.js'
import { decodeSecrets, encodeSecrets, NO_SECRETS } from '#src/keys/secrets.js'
import { generateRsaPair } from '../support/rsa-pair.js'

const keys = [1, 2].map((byte) => createSecretKey(Buffer.alloc(32, byte)))
const masterKeys = [generateRsaPair(2048).privateKey]

test('keys survive the way through a pipe, and the bytes are zeroed behind them', () => {
  const bytes = encodeSecrets({ keys, masterKeys })
  const decoded = decodeSecrets(bytes)
  expect(decoded.keys.map((key, i) => key.equals(keys[i]!))).toEqual([true, true])
  expect(decoded.masterKeys.map((key, i) => key.equals(masterKeys[i]!))).toEqual([true])
  expect(bytes.every((byte) => byte === 0)).toBe(true)
})

test('no keys are no bytes', () => {
  expect(encodeSecrets(NO_SECRETS)).toHaveLength(0)
  expect(decodeSecrets(new Uint8Array(0))).toEqual(NO_SECRETS)
})

test('what is cut off is refused, and zeroed all the same', () => {
  for (const length of [1, 4, 5, 36]) {
    const bytes = encodeSecrets({ keys, masterKeys: [] }).slice(0, length)
    expect(() => decodeSecrets(bytes)).toThrow(FormatError)
    expect(bytes.every((byte) => byte === 0)).toBe(true)
  }
})

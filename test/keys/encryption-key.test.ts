import { describe, expect, test } from 'vitest'
import { makeEncryptionKey } from '#src/keys/encryption-key.js'
import { formatFingerprint } from '#src/keys/fingerprint.js'
import { KeyRing } from '#src/keys/key-ring.js'
import { TEST_FINGERPRINT } from '../support/key-writer.js'

const bytes = () => Uint8Array.from({ length: 32 }, (_, i) => i)

test('id key and fingerprint of a known key', () => {
  const key = makeEncryptionKey(bytes())
  expect(Buffer.from(key.idKey).toString('hex')).toBe('7c2c013efd07f3b25717a485263343cd4d292a4b65c200bb3b18ea227abe225c')
  expect(formatFingerprint(key.fingerprint)).toBe(TEST_FINGERPRINT)
  expect(key.encKey.export().equals(bytes())).toBe(true)
})

test('the bytes it was made of are zeroed, also when they are no key', () => {
  const good = bytes()
  makeEncryptionKey(good)
  expect(good).toEqual(new Uint8Array(32))
  const short = Uint8Array.of(1, 2, 3)
  expect(() => makeEncryptionKey(short)).toThrow()
  expect(short).toEqual(new Uint8Array(3))
})

describe('a ring of keys', () => {
  test('gives each key one number and tells of it before it can be found', () => {
    const seen: [number, boolean][] = []
    const ring: KeyRing = new KeyRing(({ id, key }) => seen.push([id, ring.find(key.fingerprint) !== undefined]))
    const first = ring.add(makeEncryptionKey(bytes()))
    const again = ring.add(makeEncryptionKey(bytes()))
    const second = ring.add(makeEncryptionKey(new Uint8Array(32).fill(7)))
    expect([first.id, again.id, second.id]).toEqual([0, 0, 1])
    expect(seen).toEqual([[0, false], [1, false]]) // prettier-ignore
    expect(ring.find(first.key.fingerprint)).toBe(first)
    expect(ring.describe()).toBe(`${TEST_FINGERPRINT}, ${formatFingerprint(second.key.fingerprint)}`)
  })

  test('says none when it is empty', () => {
    expect(new KeyRing().describe()).toBe('none')
  })
})

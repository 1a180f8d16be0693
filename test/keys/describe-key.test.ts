import { expect, test } from 'vitest'
import { KeyError } from '#src/errors/errors.js'
import { describeKey } from '#src/keys/describe-key.js'
import { encodeKeyFile, encryptForMaster, TEST_FINGERPRINT } from '../support/key-writer.js'
import { generateRsaPair } from '../support/rsa-pair.js'

const { privateKey, publicKey } = generateRsaPair(2048)
const describe = (bytes: Uint8Array | string) => describeKey(Buffer.from(bytes), 'k')

test('key files: the fingerprint is computed where it can be, and read where not', () => {
  expect(describe(encodeKeyFile())).toMatchObject({ kind: 'encryption key', protection: 'none', fingerprint: TEST_FINGERPRINT, created: '2026-11-20T21:54:30+00:00', modified: '2026-11-20T21:54:31Z', hint: undefined }) // prettier-ignore
  const options = { password: 'secret', hint: 'dog', fingerprint: TEST_FINGERPRINT }
  expect(describe(encodeKeyFile(undefined, options))).toMatchObject({ protection: 'scrypt', fingerprint: TEST_FINGERPRINT, hint: 'dog' })
  expect(describe(encodeKeyFile(undefined, { password: 'secret', kdf: 'PBKDF2' }))).toMatchObject({ protection: 'pbkdf2', fingerprint: undefined })
  const printed = `-----BEGIN PROXMOX BACKUP KEY-----\n${encodeKeyFile().toString()}\n-----END PROXMOX BACKUP KEY-----\n`
  expect(describe(printed).kind).toBe('encryption key, printed')
})

test('master keys, and what was encrypted for one', () => {
  expect(describe(privateKey.export({ type: 'pkcs8', format: 'pem' }))).toMatchObject({ kind: 'private master key, RSA 2048 bits', protection: 'none' })
  const locked = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' })
  expect(describe(locked)).toMatchObject({ kind: 'private master key', protection: 'passphrase' })
  expect(describe(publicKey.export({ type: 'spki', format: 'pem' })).kind).toMatch(/^public master key, RSA 2048 bits/)
  expect(describe(encryptForMaster(Buffer.from('{}'), publicKey))).toMatchObject({ protection: 'master key' })
})

test('what is no key is refused, and so is one that contradicts itself', () => {
  expect(() => describe('hello')).toThrow(KeyError)
  expect(() => describe(encodeKeyFile(undefined, { fingerprint: 'ab'.repeat(32) }))).toThrow('damaged key file')
})

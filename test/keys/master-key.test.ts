import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { KeyError, PbsfsError } from '#src/errors/errors.js'
import { formatFingerprint } from '#src/keys/fingerprint.js'
import { looksRsaEncrypted, parseMasterKey, recoverKey, unlockMasterKey } from '#src/keys/master-key.js'
import { encodeBlob } from '../support/datastore-writer.js'
import { goldenDir } from '../support/golden.js'
import { encodeKeyFile, encryptForMaster, TEST_FINGERPRINT } from '../support/key-writer.js'
import { findProgram } from '../support/needs.js'
import { generateRsaPair } from '../support/rsa-pair.js'

const { privateKey, publicKey } = generateRsaPair(4096)
const other = generateRsaPair(4096)
const smaller = generateRsaPair(2048)
const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const open = (text: string, passphrase?: string) =>
  unlockMasterKey(parseMasterKey(Buffer.from(text), 'm'), passphrase === undefined ? undefined : Buffer.from(passphrase))

describe('a private key in PEM form', () => {
  test.each([
    ['PKCS#8', pem],
    ['traditional', privateKey.export({ type: 'pkcs1', format: 'pem' }).toString()],
    ['with text around it', `Bag Attributes\n  localKeyID: 01\n${pem}\nmore\n`],
    ['with the line ends of Windows', pem.replaceAll('\n', '\r\n')],
  ])('%s', (_, text) => {
    expect(parseMasterKey(Buffer.from(text), 'm').isProtected).toBe(false)
    expect(open(text)?.equals(privateKey)).toBe(true)
  })

  const encrypted = { format: 'pem', cipher: 'aes-256-cbc', passphrase: 'pass phrase' } as const
  test.each([
    ['PKCS#8', privateKey.export({ type: 'pkcs8', ...encrypted }).toString()],
    ['traditional', privateKey.export({ type: 'pkcs1', ...encrypted }).toString()],
  ])('%s with a passphrase', (_, text) => {
    expect(parseMasterKey(Buffer.from(text), 'm').isProtected).toBe(true)
    expect(open(text, 'pass phrase')?.equals(privateKey)).toBe(true)
    expect(open(text, 'pass phrases')).toBeUndefined()
    expect(open(text, '')).toBeUndefined()
    expect(open(text)).toBeUndefined()
  })

  test.skipIf(findProgram('openssl') === undefined)('as openssl writes it', () => {
    const run = (args: string[]) => execFileSync('openssl', args, { input: pem, stdio: ['pipe', 'pipe', 'ignore'] }).toString()
    const pass = ['-passout', 'pass:secret']
    for (const text of [
      run(['pkcs8', '-topk8', '-v2', 'aes-256-cbc', ...pass]),
      run(['pkcs8', '-topk8', '-v2', 'aes-256-cbc', '-scrypt', ...pass]),
      run(['rsa', '-aes256', '-traditional', ...pass]),
      run(['rsa', '-des3', '-traditional', ...pass]),
    ]) {
      expect(open(text, 'secret')?.equals(privateKey)).toBe(true)
      expect(open(text, 'secre')).toBeUndefined()
    }
  }, 120_000)

  test.each<[string, string, string]>([
    ['a public key', publicKey.export({ type: 'spki', format: 'pem' }).toString(), 'the public half'],
    ['a key file', encodeKeyFile().toString(), 'no private key in PEM form'],
    ['nothing', '', 'no private key in PEM form'],
    ['no end', pem.split('-----END')[0]!, 'no private key in PEM form'],
    ['rubbish inside', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n', 'the master key is damaged'],
    ['a key of another kind', generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), 'must be an RSA key'],
    ['2 MiB', ' '.repeat(2 ** 21), 'too many'],
  ])('refused: %s', (_, text, message) => {
    expect(() => open(text)).toThrow(KeyError)
    expect(() => open(text)).toThrow(message)
  })
})

describe('the key a backup carries', () => {
  const keyFile = encodeKeyFile(undefined, { fingerprint: TEST_FINGERPRINT })
  const encrypted = encryptForMaster(keyFile, publicKey)
  const fingerprintOf = (bytes: Uint8Array) => formatFingerprint(recoverKey(bytes, 'r', privateKey)!.fingerprint)

  test('as a blob, and without its header', () => {
    expect(fingerprintOf(encrypted)).toBe(TEST_FINGERPRINT)
    expect(fingerprintOf(encodeBlob(encrypted, 'plain'))).toBe(TEST_FINGERPRINT)
  })

  test('is told from key files', () => {
    expect(looksRsaEncrypted(encrypted)).toBe(true)
    expect(looksRsaEncrypted(encodeBlob(encrypted, 'plain'))).toBe(true)
    expect(looksRsaEncrypted(keyFile)).toBe(false)
    expect(looksRsaEncrypted(encodeKeyFile(undefined, { password: 'secret', hint: 'äöü' }))).toBe(false)
    expect(looksRsaEncrypted(Buffer.from(pem))).toBe(false)
    expect(looksRsaEncrypted(new Uint8Array(0))).toBe(false)
  })

  test('another master key does not open it', () => {
    expect(recoverKey(encrypted, 'r', other.privateKey)).toBeUndefined()
    expect(recoverKey(encrypted, 'r', smaller.privateKey)).toBeUndefined()
  })

  test('content that is no key is refused by name', () => {
    const wrong = encryptForMaster(Buffer.from('{"kdf":null}'), publicKey)
    expect(() => recoverKey(wrong, 'r', privateKey)).toThrow('r: not a key file')
  })

  test('a number above the modulus', () => {
    expect(recoverKey(Buffer.alloc(512, 0xff), 'r', privateKey)).toBeUndefined()
  })

  test('any flipped byte: never a key, never an error without a name', () => {
    const blob = encodeBlob(encrypted, 'plain')
    fc.assert(
      fc.property(fc.nat({ max: blob.length - 1 }), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, mask, isBlob) => {
        const damaged = isBlob ? Buffer.from(blob) : Buffer.from(encrypted)
        damaged[at % damaged.length]! ^= mask
        try {
          expect(recoverKey(damaged, 'r', privateKey)).toBeUndefined()
        } catch (error) {
          if (!(error instanceof PbsfsError)) throw error
        }
      }),
      { numRuns: 60 },
    )
  }, 120_000)
})

test.skipIf(goldenDir() === undefined)('the real master key opens the real backup', () => {
  const masterKey = unlockMasterKey(parseMasterKey(readFileSync(join(goldenDir()!, 'keys/master.pem')), 'master.pem'))!
  const blob = readFileSync(join(goldenDir()!, 'store/host/crypt-master/2023-12-04T12:00:00Z/rsa-encrypted.key.blob'))
  expect(formatFingerprint(recoverKey(blob, 'r', masterKey)!.fingerprint)).toMatch(/^04:1d:d8:29/)
})

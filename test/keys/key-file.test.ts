import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { KeyError, PbsfsError } from '#src/errors/errors.js'
import type { EncryptionKey } from '#src/keys/encryption-key.js'
import { formatFingerprint } from '#src/keys/fingerprint.js'
import { parseKeyFile } from '#src/keys/key-file.js'
import { openKeyFile, unlockKeyFile, wrongPassword } from '#src/keys/unlock-key.js'
import { testKey } from '../support/datastore-writer.js'
import { goldenDir } from '../support/golden.js'
import { encodeKeyFile, keyFileFields, TEST_FINGERPRINT } from '../support/key-writer.js'

const password = Buffer.from('secret')
const parse = (fields: unknown) => parseKeyFile(Buffer.from(JSON.stringify(fields)), 'k')

function isTestKey(key: EncryptionKey | undefined): boolean {
  return key !== undefined && key.encKey.export().equals(testKey.encKey) && formatFingerprint(key.fingerprint) === TEST_FINGERPRINT
}

/** Known data of the format's description: key 00 .. 1f, password `secret`, salt 10 .. 2f. */
const salt = Buffer.from(Uint8Array.from({ length: 32 }, (_, i) => 0x10 + i)).toString('base64')
const vectors = {
  none: { kdf: null, data: 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=' },
  scrypt: {
    kdf: { Scrypt: { n: 65536, r: 8, p: 1, salt } },
    data: 'oKGio6SlpqeoqaqrrK2ur2/JWFFM001R88ym6Tr1pSP7mLd3qr3i2OhEuWJP5zVtvrFe4pCDii5HmFj5k/OKGQ==',
  },
  pbkdf2: {
    kdf: { PBKDF2: { iter: 65535, salt } },
    data: 'oKGio6SlpqeoqaqrrK2ur78w1bkckbnshoizb8ermeEVYNCXPIEeb1Psp8hCG2HmJKY5iA+y0fS4oUpStqXZOQ==',
  },
}

describe('known data', () => {
  test.each(Object.entries(vectors))('%s', (_, fields) => {
    const file = parse({ ...fields, created: 'a', modified: 'b', fingerprint: TEST_FINGERPRINT })
    expect(isTestKey(unlockKeyFile(file, password))).toBe(true)
  })

  test('without fingerprint and dates, as old files are', () => {
    const file = parse(vectors.none)
    expect(file).toMatchObject({ fingerprint: undefined, created: undefined, kdf: undefined, form: 'file' })
    expect(isTestKey(openKeyFile(file))).toBe(true)
  })

  test('with a line end, a hint, and keys nobody knows', () => {
    const text = JSON.stringify({ ...vectors.pbkdf2, hint: 'the dog', more: [1] }) + '\n'
    const file = parseKeyFile(Buffer.from(text), 'k')
    expect(unlockKeyFile(file, Buffer.from('no such')) === undefined && wrongPassword(file).message).toBe(
      'k: wrong password (hint: the dog), or the file is damaged',
    )
  })
})

describe.skipIf(goldenDir() === undefined)('files of the real client', () => {
  const read = (name: string) => parseKeyFile(readFileSync(join(goldenDir()!, 'keys', name)), name)

  test.each(['plain.key', 'scrypt.key', 'pbkdf2.key'])('%s', (name) => {
    const file = read(name)
    const key = unlockKeyFile(file, Buffer.from('golden-password'))
    expect(key?.fingerprint).toBe(file.fingerprint)
  })

  test('the wrong password opens nothing', () => {
    expect(unlockKeyFile(read('pbkdf2.key'), Buffer.from('golden-passwork'))).toBeUndefined()
  })
})

test('a password that is too short to be one is not even tried', () => {
  const file = parse(keyFileFields(testKey, { password: 'abcd' }))
  expect(unlockKeyFile(file, Buffer.from('abcd'))).toBeUndefined()
})

test('a protected file needs its password', () => {
  expect(() => openKeyFile(parse(vectors.scrypt))).toThrow(KeyError)
})

test('a key that is not the one its fingerprint names', () => {
  const other = formatFingerprint('ab'.repeat(32))
  expect(() => openKeyFile(parse({ ...vectors.none, fingerprint: other }))).toThrow(`the key in it is ${TEST_FINGERPRINT}, but it says ${other}`)
})

describe('hostile files: a KeyError that says what is wrong', () => {
  test.each<[string, unknown, string]>([
    ['no object', [1], 'not a key file'],
    ['no data', { kdf: null }, 'it holds no key'],
    ['no kdf', { data: vectors.none.data }, 'kdf is missing'],
    ['unknown kdf', { ...vectors.none, kdf: { Argon2: {} } }, 'neither Scrypt nor PBKDF2'],
    ['two kdfs', { ...vectors.none, kdf: { ...vectors.scrypt.kdf, ...vectors.pbkdf2.kdf } }, 'kdf is malformed'],
    ['kdf without parameters', { ...vectors.none, kdf: { Scrypt: null } }, 'kdf is malformed'],
    ['scrypt without salt', { ...vectors.scrypt, kdf: { Scrypt: { n: 2, r: 8, p: 1 } } }, 'with all their parameters'],
    ['scrypt of 8 GiB', { ...vectors.scrypt, kdf: { Scrypt: { n: 2 ** 23, r: 8, p: 1, salt } } }, 'more than 1 GiB'],
    ['n is a text', { ...vectors.scrypt, kdf: { Scrypt: { n: '2', r: 8, p: 1, salt } } }, 'with all their parameters'],
    ['iterations with a fraction', { ...vectors.pbkdf2, kdf: { PBKDF2: { iter: 1.5, salt } } }, 'with all their parameters'],
    ['data is no text', { kdf: null, data: 7 }, 'data is not base64'],
    ['data without padding', { kdf: null, data: vectors.none.data.slice(0, -1) }, 'data is not base64'],
    ['data with stray bits', { kdf: null, data: vectors.none.data.replace('h8=', 'h9=') }, 'data is not base64'],
    ['data of 31 bytes', { kdf: null, data: Buffer.alloc(31).toString('base64') }, '31 bytes instead of 32'],
    ['wrapped data without kdf', { kdf: null, data: vectors.scrypt.data }, '64 bytes instead of 32'],
    ['plain data with kdf', { ...vectors.scrypt, data: vectors.none.data }, '32 bytes instead of 64'],
    ['fingerprint is none', { ...vectors.none, fingerprint: 'ab:cd' }, 'fingerprint is malformed'],
    ['fingerprint is a number', { ...vectors.none, fingerprint: 7 }, 'fingerprint is malformed'],
  ])('%s', (_, fields, message) => {
    expect(() => parse(fields)).toThrow(KeyError)
    expect(() => parse(fields)).toThrow(message)
  })

  test.each<[string, Buffer, string]>([
    ['empty', Buffer.alloc(0), 'invalid JSON'],
    ['binary', Buffer.from([0xff, 0xfe, 0]), 'invalid JSON'],
    ['cut off', encodeKeyFile().subarray(0, 60), 'invalid JSON'],
    ['a key pair', Buffer.from('-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'), '--master-keyfile'],
    ['2 MiB', Buffer.alloc(2 ** 21, ' '), 'too many'],
  ])('%s', (_, bytes, message) => {
    expect(() => parseKeyFile(bytes, 'k')).toThrow(KeyError)
    expect(() => parseKeyFile(bytes, 'k')).toThrow(message)
  })

  test('an error never quotes the file', () => {
    const data = vectors.none.data
    const text = `{"kdf":null,"data":"${data}"x}`
    try {
      parseKeyFile(Buffer.from(text), 'k')
      expect.unreachable()
    } catch (error) {
      const { message, fields, cause } = error as PbsfsError
      expect(JSON.stringify([message, fields, cause ?? null])).toBe(JSON.stringify(['k: not a key file, or damaged: invalid JSON at character 65', { path: 'k' }, null]))
    }
  })
})

describe('any flipped byte: the same key, or a named error, and never another key', () => {
  const cases: [string, Buffer][] = [
    ['none', encodeKeyFile(testKey, { fingerprint: TEST_FINGERPRINT })],
    ['Scrypt', encodeKeyFile(testKey, { password: 'secret', fingerprint: TEST_FINGERPRINT })],
    ['PBKDF2', encodeKeyFile(testKey, { password: 'secret', kdf: 'PBKDF2', fingerprint: TEST_FINGERPRINT })],
  ]
  test.each(cases)('%s', (_, bytes) => {
    let errors = 0
    fc.assert(
      fc.property(fc.nat({ max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const damaged = Buffer.from(bytes)
        damaged[at]! ^= mask
        // What makes a thousand times the work is not wrong, only slow.
        fc.pre(!/"(?:n|iter|r|p)":\d{5,}/.test(damaged.toString()))
        let key: EncryptionKey | undefined
        try {
          key = unlockKeyFile(parseKeyFile(damaged, 'k'), password)
        } catch (error) {
          expect(error).toBeInstanceOf(KeyError)
        }
        if (key === undefined) errors++
        // Without its fingerprint nothing tells a damaged key from another one.
        else if (damaged.includes('"fingerprint"')) expect(isTestKey(key)).toBe(true)
      }),
      { numRuns: 600 },
    )
    expect(errors).toBeGreaterThan(300)
  })
})

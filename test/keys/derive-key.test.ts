import { pbkdf2Sync, scryptSync } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { deriveKey, findKdfProblem, type Kdf } from '#src/keys/derive-key.js'

const salt = Uint8Array.from({ length: 32 }, (_, i) => 0x10 + i)
const secret = Buffer.from('secret')
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

test('scrypt with the parameters the client writes', () => {
  expect(hexOf(deriveKey({ kind: 'scrypt', n: 65536, r: 8, p: 1, salt }, secret))).toBe(
    'f510f663791221e2b590979f5646db3c5c80a11327fbd58b3f817696410456ae',
  )
})

test('scrypt with an empty salt', () => {
  const kdf: Kdf = { kind: 'scrypt', n: 65536, r: 8, p: 1, salt: new Uint8Array(0) }
  expect(hexOf(deriveKey(kdf, Buffer.from('test')))).toBe('28cdb1a3bef39396c3860e00d448fe7a0efd8244486ab6feb30457681d31597e')
})

test('PBKDF2 with the parameters the client writes', () => {
  expect(hexOf(deriveKey({ kind: 'pbkdf2', iterations: 65535, salt }, secret))).toBe(
    '827fbe79743ce17b736f9005e761433e261af14e33ae476022b105ce23054f37',
  )
})

test('any password, salt and parameters: the same as another implementation', () => {
  const bytes = fc.uint8Array({ maxLength: 80 })
  fc.assert(
    fc.property(bytes, bytes, fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 3 }), (password, someSalt, log, r, p) => {
      const n = 2 ** log
      expect(hexOf(deriveKey({ kind: 'scrypt', n, r, p, salt: someSalt }, password))).toBe(
        scryptSync(password, someSalt, 32, { N: n, r, p }).toString('hex'),
      )
      expect(hexOf(deriveKey({ kind: 'pbkdf2', iterations: n, salt: someSalt }, password))).toBe(
        pbkdf2Sync(password, someSalt, n, 32, 'sha256').toString('hex'),
      )
    }),
    { numRuns: 50 },
  )
})

test.each<[string, Kdf]>([
  ['n is 0', { kind: 'scrypt', n: 0, r: 8, p: 1, salt }],
  ['n is 1', { kind: 'scrypt', n: 1, r: 8, p: 1, salt }],
  ['n is no power of two', { kind: 'scrypt', n: 65535, r: 8, p: 1, salt }],
  ['n is negative', { kind: 'scrypt', n: -65536, r: 8, p: 1, salt }],
  ['n is larger than 32 bits', { kind: 'scrypt', n: 2 ** 40, r: 8, p: 1, salt }],
  ['r is 0', { kind: 'scrypt', n: 16, r: 0, p: 1, salt }],
  ['p is 0', { kind: 'scrypt', n: 16, r: 8, p: 0, salt }],
  ['p is huge', { kind: 'scrypt', n: 16, r: 8, p: 2 ** 30, salt }],
  ['2 GiB of memory', { kind: 'scrypt', n: 2 ** 21, r: 8, p: 1, salt }],
  ['all in r', { kind: 'scrypt', n: 2, r: 2 ** 28, p: 1, salt }],
  ['hours of work', { kind: 'scrypt', n: 2 ** 16, r: 8, p: 2 ** 16, salt }],
  ['no iteration', { kind: 'pbkdf2', iterations: 0, salt }],
  ['hours of iterations', { kind: 'pbkdf2', iterations: 2 ** 40, salt }],
  ['a huge salt', { kind: 'pbkdf2', iterations: 1, salt: new Uint8Array(5000) }],
])('refused: %s', (_, kdf) => {
  expect(findKdfProblem(kdf)).toBeDefined()
})

test('what the client writes, and a good deal more, is let through', () => {
  expect(findKdfProblem({ kind: 'scrypt', n: 65536, r: 8, p: 1, salt })).toBeUndefined()
  expect(findKdfProblem({ kind: 'scrypt', n: 2 ** 20, r: 8, p: 1, salt })).toBeUndefined()
  expect(findKdfProblem({ kind: 'pbkdf2', iterations: 1_000_000, salt })).toBeUndefined()
})

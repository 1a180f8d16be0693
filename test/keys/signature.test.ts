import { scryptSync } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeBlobFile } from '#src/blob/decode.js'
import { FormatError } from '#src/errors/errors.js'
import { deriveIdKey, makeEncryptionKey } from '#src/keys/encryption-key.js'
import { parseKeyFile } from '#src/keys/key-file.js'
import { canonicalManifest, verifySignature } from '#src/keys/signature.js'
import { encodeManifestJson } from '../support/datastore-writer.js'
import { testKey } from '../support/datastore-writer.js'
import { goldenDir } from '../support/golden.js'
import { signManifest } from '../support/key-writer.js'

const canonical = (text: string) => canonicalManifest(Buffer.from(text), 'm')
const manifest = {
  'backup-type': 'host',
  'backup-time': 1593179765,
  'backup-id': 'elsa',
  files: [
    { filename: 'test1.img.fidx', size: 200, csum: '01'.repeat(32), 'crypt-mode': 'encrypt' },
    { filename: 'abc.blob', size: 200, csum: '02'.repeat(32), 'crypt-mode': 'none' },
  ],
}

test('a known signature', () => {
  const json = Buffer.from(JSON.stringify({ ...manifest, signature: 'x', unprotected: { a: null } }, null, 2))
  const key = scryptSync('test', '', 32, { N: 65536, r: 8, p: 1, maxmem: 2 ** 27 })
  const signature = 'd7b446fb7db081662081d4b40fedd858a1d6307a5aff4ecff7d5bf4fd35679e9'
  expect(verifySignature(json, 'm', signature, deriveIdKey(key))).toBe(true)
  expect(verifySignature(json, 'm', signature.toUpperCase(), deriveIdKey(key))).toBe(true)
  expect(verifySignature(json, 'm', signature, deriveIdKey(Buffer.alloc(32)))).toBe(false)
  expect(verifySignature(json, 'm', signature.slice(2), deriveIdKey(key))).toBe(false)
  expect(verifySignature(json, 'm', '', deriveIdKey(key))).toBe(false)
})

describe('the text that is signed', () => {
  test.each<[string, string, string]>([
    ['keys sorted, no blanks', '{ "b" : [ 1, true ] ,\n"a":"x" }', '{"a":"x","b":[1,true]}'],
    ['sorted by the bytes of UTF-8, not by code units', '{"\u{10000}":1,"\uffee":2}', '{"\uffee":2,"\u{10000}":1}'],
    ['numbers above 2^53 as they are', '{"size":18446744073709551615}', '{"size":18446744073709551615}'],
    ['unknown keys count', '{"x":{"z":1,"y":2}}', '{"x":{"y":2,"z":1}}'],
    ['what is not signed is left out, at the top only', '{"signature":"s","unprotected":{},"a":{"signature":"t"}}', '{"a":{"signature":"t"}}'],
    ['escapes', '{"a":"\\u0001\\u001f\\"\\\\\\/\\u00e4\\n\\u007f"}', '{"a":"\\u0001\\u001f\\"\\\\/ä\\n\u007f"}'],
    ['arrays keep their order', '{"a":[3,1,2]}', '{"a":[3,1,2]}'],
  ])('%s', (_, text, expected) => {
    expect(canonical(text)).toBe(expected)
  })

  test('null cannot be signed, except where nothing is signed', () => {
    expect(() => canonical('{"a":[null]}')).toThrow(FormatError)
    expect(verifySignature(Buffer.from('{"a":null}'), 'm', '00'.repeat(32), testKey.idKey)).toBe(false)
    expect(canonical('{"signature":null,"unprotected":null}')).toBe('{}')
  })

  test('any manifest: the same text, however it is laid out', () => {
    const value = fc.letrec((tie) => ({
      value: fc.oneof(fc.string(), fc.boolean(), fc.maxSafeInteger(), fc.array(tie('value'), { maxLength: 3 }), fc.dictionary(fc.string(), tie('value'), { maxKeys: 3 })),
    })).value
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), value), (object) => {
        const text = canonical(JSON.stringify(object, null, 3))
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(object)))
        expect(canonical(text)).toBe(text)
      }),
    )
  })
})

test('any flipped byte: the signature fails, or what is signed is the same', () => {
  const unsigned = encodeManifestJson({ ...manifest, unprotected: { notes: 'hello' } })
  const signature = signManifest(unsigned)
  const json = encodeManifestJson({ ...manifest, signature, unprotected: { notes: 'hello' } })
  expect(verifySignature(json, 'm', signature, testKey.idKey)).toBe(true)
  const signed = canonicalManifest(json, 'm')
  fc.assert(
    fc.property(fc.nat({ max: json.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, mask) => {
      const damaged = Buffer.from(json)
      damaged[at]! ^= mask
      const same = verifySignature(damaged, 'm', signature, testKey.idKey)
      if (same) expect(canonicalManifest(damaged, 'm')).toBe(signed)
    }),
    { numRuns: 1500 },
  )
})

describe.skipIf(goldenDir() === undefined)('manifests of the real server', () => {
  const golden = goldenDir()!
  const { idKey } = makeEncryptionKey(parseKeyFile(readFileSync(join(golden, 'keys/plain.key')), 'k').data)

  test.each(['host/crypt', 'host/signed', 'host/crypt-master', 'vm/101'])('%s', (group) => {
    const snapshots = readdirSync(join(golden, 'store', group)).filter((name) => name.startsWith('20'))
    expect(snapshots.length).toBeGreaterThan(0)
    for (const snapshot of snapshots) {
      const json = decodeBlobFile(readFileSync(join(golden, 'store', group, snapshot, 'index.json.blob')), snapshot)
      const { signature } = JSON.parse(Buffer.from(json).toString()) as { signature: string }
      expect(verifySignature(json, snapshot, signature, idKey)).toBe(true)
      expect(verifySignature(json, snapshot, signature, testKey.idKey)).toBe(false)
    }
  })
})

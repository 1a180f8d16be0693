import { createCipheriv, createHmac, pbkdf2Sync, publicEncrypt, constants, scryptSync, type KeyObject } from 'node:crypto'
import { testKey, type TestKey } from './datastore-writer.js'

/*
 * Key files and signatures as the vendor's client writes them, with Node's own functions: what the
 * product reads with others.
 */

const SALT = Uint8Array.from({ length: 32 }, (_, i) => 0x10 + (i % 32))
const IV = Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i)

export interface KeyFileOptions {
  password?: string
  kdf?: 'Scrypt' | 'PBKDF2'
  /** scrypt n; small, so that tests are fast. */
  n?: number
  iterations?: number
  fingerprint?: string
  hint?: string
}

/** The JSON of a key file, as an object to change at will. */
export function keyFileFields(key: TestKey = testKey, options: KeyFileOptions = {}): Record<string, unknown> {
  const { password, n = 16, iterations = 10 } = options
  const times = { created: '2026-11-20T21:54:30+00:00', modified: '2026-11-20T21:54:31Z' }
  const more = {
    ...(options.fingerprint === undefined ? {} : { fingerprint: options.fingerprint }),
    ...(options.hint === undefined ? {} : { hint: options.hint }),
  }
  if (password === undefined) return { kdf: null, ...times, data: Buffer.from(key.encKey).toString('base64'), ...more }
  const salt = Buffer.from(SALT).toString('base64')
  const isScrypt = (options.kdf ?? 'Scrypt') === 'Scrypt'
  const kdf = isScrypt ? { Scrypt: { n, r: 8, p: 1, salt } } : { PBKDF2: { iter: iterations, salt } }
  const derived = isScrypt
    ? scryptSync(password, SALT, 32, { N: n, r: 8, p: 1, maxmem: 2 ** 28 })
    : pbkdf2Sync(password, SALT, iterations, 32, 'sha256')
  const cipher = createCipheriv('aes-256-gcm', derived, IV)
  const body = Buffer.concat([cipher.update(key.encKey), cipher.final()])
  return { kdf, ...times, data: Buffer.concat([IV, cipher.getAuthTag(), body]).toString('base64'), ...more }
}

export function encodeKeyFile(key: TestKey = testKey, options: KeyFileOptions = {}): Buffer {
  return Buffer.from(JSON.stringify(keyFileFields(key, options)))
}

/** What a backup carries for the holder of the master key. */
export function encryptForMaster(keyFile: Uint8Array, publicKey: KeyObject): Buffer {
  return publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_PADDING }, keyFile)
}

/** A second key: `seed` in every byte of it. */
export function makeTestKey(seed: number): TestKey {
  const encKey = new Uint8Array(32).fill(seed)
  return { encKey, idKey: pbkdf2Sync(encKey, '_id_key', 10, 32, 'sha256') }
}

/** The signature of a manifest whose numbers are all safe integers. */
export function signManifest(json: Uint8Array, key: TestKey = testKey): string {
  const { signature: _signature, unprotected: _unprotected, ...signed } = JSON.parse(Buffer.from(json).toString()) as Record<string, unknown>
  return createHmac('sha256', key.idKey).update(JSON.stringify(sortKeys(signed))).digest('hex')
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, item]) => [name, sortKeys(item)])) // prettier-ignore
}

/** Of the key 00 01 .. 1f. */
export const TEST_FINGERPRINT =
  '0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b'

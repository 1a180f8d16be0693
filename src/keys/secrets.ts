import { createPrivateKey, createSecretKey, type KeyObject } from 'node:crypto'
import { viewOf } from '../bytes/le.js'
import { FormatError } from '../errors/errors.js'

/** The keys a mount was given. Survives a thread boundary; the secrets themselves stay with OpenSSL. */
export interface MountSecrets {
  /** Encryption keys, 32 bytes each. */
  readonly keys: readonly KeyObject[]
  /** Private RSA keys that open the key a backup carries. */
  readonly masterKeys: readonly KeyObject[]
}

export const NO_SECRETS: MountSecrets = { keys: [], masterKeys: [] }

/*
 * As bytes, for a pipe: records of kind (u8), length (u32, little-endian), content. Kind 1 is an
 * encryption key, kind 2 a private key in PKCS#8 DER.
 */
const HEADER_SIZE = 5
const KIND = { key: 1, masterKey: 2 } as const

/** The caller zeroes the result when it is sent. */
export function encodeSecrets(secrets: MountSecrets): Uint8Array {
  const records: [number, Uint8Array][] = [
    ...secrets.keys.map((key): [number, Uint8Array] => [KIND.key, key.export()]),
    ...secrets.masterKeys.map((key): [number, Uint8Array] => [KIND.masterKey, key.export({ format: 'der', type: 'pkcs8' })]),
  ]
  const bytes = new Uint8Array(records.reduce((sum, [, content]) => sum + HEADER_SIZE + content.length, 0))
  let at = 0
  for (const [kind, content] of records) {
    bytes[at] = kind
    viewOf(bytes).setUint32(at + 1, content.length, true)
    bytes.set(content, at + HEADER_SIZE)
    at += HEADER_SIZE + content.length
    content.fill(0)
  }
  return bytes
}

/** Undoes `encodeSecrets`. `bytes` is zeroed. */
export function decodeSecrets(bytes: Uint8Array): MountSecrets {
  const keys: KeyObject[] = []
  const masterKeys: KeyObject[] = []
  try {
    for (let at = 0; at < bytes.length; ) {
      const end = at + HEADER_SIZE > bytes.length ? Infinity : at + HEADER_SIZE + viewOf(bytes).getUint32(at + 1, true)
      if (end > bytes.length) throw new FormatError('the keys of a mount are not complete', { stream: 'pipe' })
      const content = Buffer.from(bytes.subarray(at + HEADER_SIZE, end))
      if (bytes[at] === KIND.key) keys.push(createSecretKey(content))
      else masterKeys.push(createPrivateKey({ key: content, format: 'der', type: 'pkcs8' }))
      content.fill(0)
      at = end
    }
  } finally {
    bytes.fill(0)
  }
  return { keys, masterKeys }
}

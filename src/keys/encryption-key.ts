import { createSecretKey, type KeyObject } from 'node:crypto'
import { pbkdf2 } from '@noble/hashes/pbkdf2.js'
import { sha256 } from '@noble/hashes/sha2.js'
import type { BlobKey } from '../blob/decrypt.js'
import { asBuffer, hex } from '../bytes/names.js'

export const KEY_SIZE = 32

const ID_KEY_SALT = Buffer.from('_id_key')
const ID_KEY_ITERATIONS = 10
/** SHA-256 of "Proxmox Backup Encryption Key Fingerprint". */
const FINGERPRINT_INPUT = Buffer.from('6ed0ef77471fff4d55c7a8fe4a9db62161407f134c725ddf30992d25ec45ed26', 'hex')

/** A key that opens encrypted archives and proves signatures. Survives a thread boundary. */
export interface EncryptionKey extends BlobKey {
  /** Held by OpenSSL, which clears it when the last handle goes; not among the script's objects. */
  readonly encKey: KeyObject
  /** SHA-256 that names the key: 64 hex digits, as in a manifest without the colons. */
  readonly fingerprint: string
}

/** The key made of 32 secret bytes. `bytes` is zeroed. */
export function makeEncryptionKey(bytes: Uint8Array): EncryptionKey {
  try {
    if (bytes.length !== KEY_SIZE) throw new RangeError(`a key of ${bytes.length} bytes`)
    const idKey = deriveIdKey(bytes)
    return { encKey: createSecretKey(bytes), idKey, fingerprint: fingerprintOf(idKey) }
  } finally {
    bytes.fill(0)
  }
}

/** The half of a key that digests and signatures use. */
export function deriveIdKey(encKey: Uint8Array): Uint8Array {
  return pbkdf2(sha256, encKey, ID_KEY_SALT, { c: ID_KEY_ITERATIONS, dkLen: KEY_SIZE })
}

function fingerprintOf(idKey: Uint8Array): string {
  return hex(sha256(Buffer.concat([FINGERPRINT_INPUT, asBuffer(idKey)])))
}

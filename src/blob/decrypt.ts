import { createDecipheriv, type KeyObject } from 'node:crypto'
import { IntegrityError, KeyError } from '../errors/errors.js'
import { blobFields, type Blob } from './data-blob.js'

/** The two halves of an encryption key that blobs need, 32 bytes each. */
export interface BlobKey {
  /** AES-256 key. */
  readonly encKey: Uint8Array | KeyObject
  /** Goes into the digests of encrypted chunks; derived from `encKey`. */
  readonly idKey: Uint8Array
}

const CIPHER = 'aes-256-gcm'
const KEY_SIZE = 32
const TAG_SIZE = 16

/**
 * The payload of an encrypted blob, decrypted into memory of its own (still compressed, when the
 * blob is). Nothing is returned unless the tag matches. The nonce is the whole 16-byte IV, there
 * is no additional data.
 * Throws KeyError without a key, IntegrityError when the tag does not match: the key is another
 * one, or the data is damaged.
 */
export function decryptPayload(blob: Blob, key: Pick<BlobKey, 'encKey'> | undefined): Uint8Array {
  if (blob.iv === undefined || blob.tag === undefined) return blob.payload
  if (key === undefined) {
    throw new KeyError(`${blob.name}: encrypted, and no key was given`, blobFields(blob))
  }
  const size = key.encKey instanceof Uint8Array ? key.encKey.length : key.encKey.symmetricKeySize
  if (size !== KEY_SIZE) {
    throw new KeyError(`${blob.name}: the key has ${size ?? 0} bytes instead of ${KEY_SIZE}`, blobFields(blob))
  }
  const decipher = createDecipheriv(CIPHER, key.encKey, blob.iv, { authTagLength: TAG_SIZE })
  decipher.setAuthTag(blob.tag)
  const plain = decipher.update(blob.payload)
  try {
    decipher.final()
  } catch (cause) {
    plain.fill(0)
    throw new IntegrityError(
      `${blob.name}: authentication tag does not match (another key, or damaged data)`,
      { ...blobFields(blob), offset: 28 },
      { cause },
    )
  }
  return plain
}

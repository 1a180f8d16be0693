import { isUtf8 } from 'node:buffer'
import { constants, createPrivateKey, privateDecrypt, type KeyObject } from 'node:crypto'
import { decodeBlobFile } from '../blob/decode.js'
import { asBuffer } from '../bytes/names.js'
import { KeyError } from '../errors/errors.js'
import type { EncryptionKey } from './encryption-key.js'
import { MAX_KEY_FILE_SIZE, parseKeyFile } from './key-file.js'
import { extractPem } from './paper-key.js'
import { removePadding } from './pkcs1.js'
import { MAX_RSA_KEY_BLOB_SIZE } from './rsa-key-blob.js'
import { openKeyFile } from './unlock-key.js'

/** Bits: smaller moduli cannot hold a key file. */
const MIN_MODULUS_SIZE = 256
const MAX_MODULUS_SIZE = 2048

/** A private master key, read but not unlocked. */
export interface MasterKeyFile {
  readonly name: string
  readonly pem: string
  /** A passphrase protects it: PKCS#8 or the traditional form of OpenSSL. */
  readonly isProtected: boolean
}

/** A private key in PEM, as OpenSSL and the vendor's client write and print it. KeyError: it is something else. */
export function parseMasterKey(bytes: Uint8Array, name: string): MasterKeyFile {
  if (bytes.length > MAX_KEY_FILE_SIZE) throw new KeyError(`${name}: ${bytes.length} bytes are too many for a master key`, { path: name })
  const text = asBuffer(bytes).toString('latin1')
  const pem = extractPem(text)
  if (pem !== undefined) {
    return { name, pem, isProtected: pem.includes('ENCRYPTED') }
  }
  if (/-----BEGIN [A-Z ]*PUBLIC KEY-----/.test(text)) {
    throw new KeyError(`${name}: the public half of a master key; only the private half opens backups`, { path: name })
  }
  throw new KeyError(`${name}: not a master key: there is no private key in PEM form in it`, { path: name })
}

/** The private key; undefined: the passphrase is wrong (or a protected key damaged). KeyError: damaged, or not RSA. */
export function unlockMasterKey(file: MasterKeyFile, passphrase?: Uint8Array): KeyObject | undefined {
  let key: KeyObject
  try {
    key = createPrivateKey({
      key: file.pem,
      format: 'pem',
      ...(passphrase === undefined ? {} : { passphrase: asBuffer(passphrase) }),
    })
  } catch {
    if (file.isProtected) return undefined
    throw new KeyError(`${file.name}: the master key is damaged`, { path: file.name })
  }
  if (key.asymmetricKeyType !== 'rsa') throw new KeyError(`${file.name}: a master key must be an RSA key`, { path: file.name })
  return key
}

/** Bytes of the modulus of an RSA key. */
export function modulusSize(key: KeyObject): number {
  return Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8)
}

/**
 * The encryption key in the content of `rsa-encrypted.key.blob` (or a file with that content, or
 * the blob itself). undefined: it was made for another master key. KeyError: what it holds is no key.
 */
export function recoverKey(bytes: Uint8Array, name: string, masterKey: KeyObject): EncryptionKey | undefined {
  const size = modulusSize(masterKey)
  const encrypted = looksLikeBlob(bytes) ? decodeBlobFile(bytes, name, MAX_RSA_KEY_BLOB_SIZE) : bytes
  if (size < MIN_MODULUS_SIZE || encrypted.length !== size) return undefined
  let block: Buffer
  try {
    block = privateDecrypt({ key: masterKey, padding: constants.RSA_NO_PADDING }, encrypted)
  } catch {
    // A number above the modulus: of another key.
    return undefined
  }
  const json = removePadding(block)
  block.fill(0)
  if (json === undefined) return undefined
  try {
    return openKeyFile(parseKeyFile(json, name))
  } finally {
    json.fill(0)
  }
}

/** Whether the bytes may be a key that a master key opens; key files and PEM are text. */
export function looksRsaEncrypted(bytes: Uint8Array): boolean {
  const size = looksLikeBlob(bytes) ? bytes.length - 12 : bytes.length
  if (size < MIN_MODULUS_SIZE || size > MAX_MODULUS_SIZE) return false
  return looksLikeBlob(bytes) || !isUtf8(bytes)
}

function looksLikeBlob(bytes: Uint8Array): boolean {
  return asBuffer(bytes).subarray(0, 8).toString('hex') === '42ab3807be8370a1'
}

import { createPublicKey, type KeyObject } from 'node:crypto'
import { asBuffer } from '../bytes/names.js'
import { formatFingerprint } from './fingerprint.js'
import { parseKeyFile, type KeyFile } from './key-file.js'
import { looksRsaEncrypted, parseMasterKey, unlockMasterKey } from './master-key.js'
import { openKeyFile } from './unlock-key.js'

/** What a key file is, without any secret. */
export interface KeyDescription {
  readonly kind: string
  /** `none`, `scrypt`, `pbkdf2`, `passphrase`, `master key`; undefined: there is nothing to protect. */
  readonly protection: string | undefined
  /** With colons; undefined: it is not recorded, or there is none. */
  readonly fingerprint: string | undefined
  readonly created: string | undefined
  readonly modified: string | undefined
  readonly hint: string | undefined
}

const NOTHING = { protection: undefined, fingerprint: undefined, created: undefined, modified: undefined, hint: undefined }

/** KeyError: it is no key, or damaged as far as that can be seen without its password. */
export function describeKey(bytes: Uint8Array, name: string): KeyDescription {
  if (looksRsaEncrypted(bytes)) return { ...NOTHING, kind: 'encryption key, encrypted for a master key', protection: 'master key' }
  const text = asBuffer(bytes).toString('latin1')
  if (/-----BEGIN [A-Z ]*PUBLIC KEY-----/.test(text)) return { ...NOTHING, kind: describePublicKey(text) }
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) return describeMasterKey(bytes, name)
  return describeKeyFile(parseKeyFile(bytes, name))
}

function describeKeyFile(file: KeyFile): KeyDescription {
  const fingerprint = file.kdf === undefined ? openKeyFile(file).fingerprint : file.fingerprint
  return {
    kind: file.form === 'paper' ? 'encryption key, printed' : 'encryption key',
    protection: file.kdf?.kind ?? 'none',
    fingerprint: fingerprint === undefined ? undefined : formatFingerprint(fingerprint),
    created: file.created,
    modified: file.modified,
    hint: file.hint,
  }
}

function describeMasterKey(bytes: Uint8Array, name: string): KeyDescription {
  const file = parseMasterKey(bytes, name)
  if (file.isProtected) return { ...NOTHING, kind: 'private master key', protection: 'passphrase' }
  return { ...NOTHING, kind: `private master key, RSA ${bitsOf(unlockMasterKey(file))}`, protection: 'none' }
}

function describePublicKey(pem: string): string {
  try {
    return `public master key, RSA ${bitsOf(createPublicKey(pem))}; it encrypts keys and opens none`
  } catch {
    return 'public master key, damaged'
  }
}

function bitsOf(key: KeyObject | undefined): string {
  return `${key?.asymmetricKeyDetails?.modulusLength ?? '?'} bits`
}

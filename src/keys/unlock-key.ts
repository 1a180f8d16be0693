import { createDecipheriv } from 'node:crypto'
import { KeyError } from '../errors/errors.js'
import { deriveKey } from './derive-key.js'
import { makeEncryptionKey, type EncryptionKey } from './encryption-key.js'
import { formatFingerprint } from './fingerprint.js'
import { damaged, type KeyFile } from './key-file.js'

/** Bytes of a password; shorter ones the vendor's client never lets pass. */
export const MIN_PASSWORD_SIZE = 5

/** The key in a file without a password. `file.data` is zeroed. KeyError: damaged. */
export function openKeyFile(file: KeyFile): EncryptionKey {
  if (file.kdf !== undefined) throw new KeyError(`${file.name}: the key needs its password`, { path: file.name })
  return checkFingerprint(file, makeEncryptionKey(file.data))
}

/**
 * The key in a protected file; undefined: wrong password (or damaged data, which nobody can tell
 * apart). Takes as long as the file's parameters say, on the thread that calls. KeyError: damaged.
 */
export function unlockKeyFile(file: KeyFile, password: Uint8Array): EncryptionKey | undefined {
  if (file.kdf === undefined) return openKeyFile(file)
  if (password.length < MIN_PASSWORD_SIZE) return undefined
  const derived = deriveKey(file.kdf, password)
  const decipher = createDecipheriv('aes-256-gcm', derived, file.data.subarray(0, 16), { authTagLength: 16 })
  derived.fill(0)
  decipher.setAuthTag(file.data.subarray(16, 32))
  const bytes = decipher.update(file.data.subarray(32))
  try {
    decipher.final()
  } catch {
    bytes.fill(0)
    return undefined
  }
  return checkFingerprint(file, makeEncryptionKey(bytes))
}

/** The sentence for a password that does not fit, with the owner's hint. */
export function wrongPassword(file: KeyFile): KeyError {
  const hint = file.hint === undefined ? '' : ` (hint: ${file.hint})`
  return new KeyError(`${file.name}: wrong password${hint}, or the file is damaged`, { path: file.name })
}

function checkFingerprint(file: KeyFile, key: EncryptionKey): EncryptionKey {
  if (file.fingerprint === undefined || file.fingerprint === key.fingerprint) return key
  throw damaged(
    file.name,
    `the key in it is ${formatFingerprint(key.fingerprint)}, but it says ${formatFingerprint(file.fingerprint)}`,
  )
}

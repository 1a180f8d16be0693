import type { KeyObject } from 'node:crypto'
import { escapeName } from '../../bytes/names.js'
import { KeyError } from '../../errors/errors.js'
import type { EncryptionKey } from '../../keys/encryption-key.js'
import { MAX_KEY_FILE_SIZE, parseKeyFile, type KeyFile } from '../../keys/key-file.js'
import { looksRsaEncrypted, parseMasterKey, recoverKey, unlockMasterKey } from '../../keys/master-key.js'
import type { MountSecrets } from '../../keys/secrets.js'
import { openKeyFile, unlockKeyFile, wrongPassword } from '../../keys/unlock-key.js'
import { argToBytes } from '../raw-args.js'
import { quoteBytes } from '../../bytes/shell-quote.js'
import { findKeys, type KeyArguments, type KeyPlace } from './key-files.js'
import { Passwords } from './passwords.js'
import { readSecretFd, readSecretFile } from './read-secret.js'
import type { AskPassword } from './terminal.js'

export interface SecretParts {
  readonly env: NodeJS.ProcessEnv
  readonly ask: AskPassword
  /** Warnings and remarks, whole lines. */
  tell(text: string): void
}

/**
 * Reads and unlocks every key the command line and the environment name, asking for passwords
 * where it must. Rejects with KeyError when a key that was named cannot be used; of the default
 * key that is told and passed over.
 */
export async function loadSecrets(args: KeyArguments, parts: SecretParts): Promise<MountSecrets> {
  const passwords = new Passwords(parts.env, parts.ask, (text) => parts.tell(`pbsfs: ${text}`))
  try {
    const masterKeys: KeyObject[] = []
    for (const path of args.masterKeyfiles) masterKeys.push(await loadMasterKey(argToBytes(path), passwords, parts))
    const keys: KeyObject[] = []
    for (const place of findKeys(args, parts.env)) {
      const key = await loadPlace(place, masterKeys, passwords, parts)
      if (key !== undefined) keys.push(key.encKey)
    }
    return { keys, masterKeys }
  } finally {
    passwords.clear()
  }
}

async function loadPlace(
  place: KeyPlace,
  masterKeys: readonly KeyObject[],
  passwords: Passwords,
  parts: SecretParts,
): Promise<EncryptionKey | undefined> {
  if (place.kind !== 'default') return loadKey(place, masterKeys, passwords, parts)
  try {
    return await loadKey(place, masterKeys, passwords, parts)
  } catch (error) {
    if (!(error instanceof KeyError)) throw error
    parts.tell(`pbsfs: going on without the default key: ${error.message}\n`)
    return undefined
  }
}

async function loadKey(
  place: KeyPlace,
  masterKeys: readonly KeyObject[],
  passwords: Passwords,
  parts: SecretParts,
): Promise<EncryptionKey | undefined> {
  const name = place.kind === 'fd' ? `--keyfd ${place.fd}` : escapeName(place.path)
  const { bytes, openMode } =
    place.kind === 'fd' ? readSecretFd(place.fd, name, MAX_KEY_FILE_SIZE) : readSecretFile(place.path, MAX_KEY_FILE_SIZE)
  try {
    if (place.kind !== 'fd') warnIfOpen(place.path, openMode, parts)
    if (looksRsaEncrypted(bytes)) return recoverNamed(bytes, name, masterKeys)
    const file = parseKeyFile(bytes, name)
    return file.kdf === undefined ? openKeyFile(file) : await unlock(file, place.kind === 'default', passwords)
  } finally {
    bytes.fill(0)
  }
}

function unlock(file: KeyFile, optional: boolean, passwords: Passwords): Promise<EncryptionKey | undefined> {
  return passwords.unlock({
    name: file.name,
    kind: 'key',
    open: (password) => unlockKeyFile(file, password),
    wrong: () => wrongPassword(file),
    optional,
  })
}

/** A key as a backup carries it, taken out of the backup. */
function recoverNamed(bytes: Uint8Array, name: string, masterKeys: readonly KeyObject[]): EncryptionKey {
  if (masterKeys.length === 0) {
    throw new KeyError(`${name}: encrypted for a master key: give that with --master-keyfile`, { path: name })
  }
  for (const masterKey of masterKeys) {
    const key = recoverKey(bytes, name, masterKey)
    if (key !== undefined) return key
  }
  throw new KeyError(`${name}: encrypted for another master key`, { path: name })
}

async function loadMasterKey(path: Buffer, passwords: Passwords, parts: SecretParts): Promise<KeyObject> {
  const name = escapeName(path)
  const { bytes, openMode } = readSecretFile(path, MAX_KEY_FILE_SIZE)
  warnIfOpen(path, openMode, parts)
  const file = parseMasterKey(bytes, name)
  bytes.fill(0)
  const wrong = () => new KeyError(`${name}: wrong passphrase of the master key, or the file is damaged`, { path: name })
  const key = file.isProtected
    ? await passwords.unlock({
        name,
        kind: 'master key',
        open: (passphrase) => unlockMasterKey(file, passphrase),
        wrong,
        optional: false,
      })
    : unlockMasterKey(file)
  if (key === undefined) throw wrong()
  return key
}

function warnIfOpen(path: Buffer, openMode: number | undefined, parts: SecretParts): void {
  if (openMode === undefined) return
  const mode = openMode.toString(8).padStart(4, '0')
  parts.tell(`pbsfs: ${escapeName(path)} can be read by others (mode ${mode}); better: chmod 600 ${quoteBytes(path)}\n`)
}

import { spawnSync } from 'node:child_process'
import { isUtf8 } from 'node:buffer'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { withoutSecrets } from '../../daemon/secret-environment.js'
import { KeyError } from '../../errors/errors.js'
import { readSecretFd, readSecretFile } from './read-secret.js'
import { splitShellWords } from './shell-words.js'

/** Bytes of a password, and of the file or command output it is the first line of. */
const MAX_PASSWORD_SIZE = 64 * 1024

/** Variables of the vendor's client: the name itself, and with _FD, _FILE, _CMD behind it. */
export const ENCRYPTION_PASSWORD = 'PBS_ENCRYPTION_PASSWORD'
/** The same for the passphrase of a master key. */
export const MASTER_KEY_PASSWORD = 'PBSFS_MASTER_KEY_PASSWORD'

const CREDENTIAL = 'proxmox-backup-client.encryption-password'

/**
 * The password the environment holds or leads to: the variable, then its forms with _FD, _FILE and
 * _CMD; the first that is set counts. KeyError: it is set, and there is nothing usable behind it.
 * What it says never holds the value.
 */
export function readVariable(name: string, env: NodeJS.ProcessEnv): Buffer | undefined {
  const direct = env[name]
  if (direct !== undefined) {
    if (direct.includes('\ufffd')) throw new KeyError(`${name}: not valid UTF-8`)
    return Buffer.from(direct)
  }
  const fd = env[`${name}_FD`]
  if (fd !== undefined) {
    if (!/^\d{1,6}$/.test(fd)) throw new KeyError(`${name}_FD: not the number of a descriptor`)
    return firstLine(readSecretFd(Number(fd), `${name}_FD`, MAX_PASSWORD_SIZE).bytes, `${name}_FD`)
  }
  const file = env[`${name}_FILE`]
  if (file !== undefined) return firstLine(readSecretFile(Buffer.from(file), MAX_PASSWORD_SIZE).bytes, `${name}_FILE`)
  const command = env[`${name}_CMD`]
  return command === undefined ? undefined : firstLine(runCommand(command, `${name}_CMD`, env), `${name}_CMD`)
}

/** The password systemd hands to a unit: the whole file. */
export function readCredential(env: NodeJS.ProcessEnv): Buffer | undefined {
  const folder = env['CREDENTIALS_DIRECTORY']
  if (folder === undefined) return undefined
  const path = join(folder, CREDENTIAL)
  if (!existsSync(path)) return undefined
  const { bytes } = readSecretFile(Buffer.from(path), MAX_PASSWORD_SIZE)
  if (!isUtf8(bytes)) throw new KeyError(`${path}: not valid UTF-8`, { path })
  return bytes
}

/** The caller's terminal and stderr are the command's, too: it may ask for something itself. */
function runCommand(line: string, name: string, env: NodeJS.ProcessEnv): Buffer {
  const [program, ...args] = splitShellWords(line) ?? []
  if (program === undefined) throw new KeyError(`${name}: not a command line`)
  const { status, stdout, error, signal } = spawnSync(program, args, {
    stdio: ['inherit', 'pipe', 'inherit'],
    maxBuffer: MAX_PASSWORD_SIZE,
    env: withoutSecrets(env),
  })
  if (error !== undefined) throw new KeyError(`${name}: the command cannot be run (${(error as NodeJS.ErrnoException).code ?? 'failed'})`)
  if (status !== 0) throw new KeyError(`${name}: the command failed (${signal ?? `exit code ${status}`})`)
  return stdout
}

function firstLine(bytes: Buffer, name: string): Buffer {
  const end = bytes.indexOf(0x0a)
  const line = Buffer.from(bytes.subarray(0, end < 0 ? bytes.length : end))
  bytes.fill(0)
  const password = line.at(-1) === 0x0d ? line.subarray(0, -1) : line
  if (!isUtf8(password)) throw new KeyError(`${name}: not valid UTF-8`)
  return password
}

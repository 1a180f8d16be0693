import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { UsageError } from '../../errors/errors.js'
import { parseCount } from '../parse-size.js'
import { argToBytes } from '../raw-args.js'

const DEFAULT_KEY = 'proxmox-backup/encryption-key.json'
const MAX_FD = 1_000_000

/** What the command line says about keys, strings as in `raw-args.ts`. */
export interface KeyArguments {
  readonly keyfiles: readonly string[]
  readonly keyfd?: string | undefined
  readonly masterKeyfiles: readonly string[]
}

/** Where an encryption key is. */
export type KeyPlace =
  | { readonly kind: 'file'; readonly path: Buffer }
  | { readonly kind: 'fd'; readonly fd: number }
  /** Nobody named it: it is no reason to fail. */
  | { readonly kind: 'default'; readonly path: Buffer }

/** Where the keys are: those that were named, else the default one, if there is any. UsageError: named in a wrong way. */
export function findKeys(args: KeyArguments, env: NodeJS.ProcessEnv): KeyPlace[] {
  if (args.keyfd !== undefined && args.keyfiles.length > 0) throw new UsageError('--keyfile and --keyfd cannot be given together')
  if ([...args.keyfiles, ...args.masterKeyfiles].includes('')) throw new UsageError('--keyfile and --master-keyfile need the path of a file')
  if (args.keyfd !== undefined) return [{ kind: 'fd', fd: parseCount(args.keyfd, '--keyfd', 0, MAX_FD) }]
  if (args.keyfiles.length > 0) return args.keyfiles.map((path) => ({ kind: 'file', path: argToBytes(path) }))
  const path = findDefaultKey(env)
  return path === undefined ? [] : [{ kind: 'default', path: Buffer.from(path) }]
}

/** The key the vendor's client uses when none is named. */
export function findDefaultKey(env: NodeJS.ProcessEnv): string | undefined {
  const own = absoluteOf(env['XDG_CONFIG_HOME']) ?? join(env['HOME'] ?? homedir(), '.config')
  const shared = (env['XDG_CONFIG_DIRS'] ?? '').split(':').flatMap((folder) => absoluteOf(folder) ?? [])
  const folders = [own, ...(shared.length === 0 ? ['/etc/xdg'] : shared)]
  return folders.map((folder) => join(folder, DEFAULT_KEY)).find((path) => existsSync(path))
}

/** A relative path in such a variable is to be ignored. */
function absoluteOf(path: string | undefined): string | undefined {
  return path?.startsWith('/') === true ? path : undefined
}

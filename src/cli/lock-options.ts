import { UsageError } from '../errors/errors.js'

/** For every command that opens a datastore. */
export const LOCK_OPTIONS = {
  'no-lock': { type: 'boolean', describe: 'Do not lock snapshots against removal by the server' },
  'require-lock': { type: 'boolean', describe: 'Open nothing that cannot be locked' },
} as const

/** `none` and `require` stand for the options; undefined: locks are taken where a server of this host has the store. */
export type LockChoice = 'none' | 'require' | undefined

/** What the parser understood. UsageError when both are given. */
export function readLockOptions(argv: Readonly<Record<string, unknown>>): LockChoice {
  return chooseLock(argv['noLock'] === true, argv['requireLock'] === true)
}

export function chooseLock(none: boolean, require: boolean): LockChoice {
  if (none && require) throw new UsageError('--no-lock and --require-lock exclude each other')
  return none ? 'none' : require ? 'require' : undefined
}

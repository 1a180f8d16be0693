import { existsSync } from 'node:fs'
import { SourceError } from '../errors/errors.js'
import type { Log } from '../errors/log.js'
import type { Datastore } from '../source/datastore.js'
import { SERVER_RUNTIME_DIR } from '../source/lock-files.js'
import type { StoreSource } from '../source/resolve-source.js'
import type { HeldSnapshot } from '../tree/snapshot-hold.js'
import { SnapshotHolds } from '../tree/snapshot-holds.js'

export interface LockSettings {
  /**
   * `try` (the default): where a server of this host has the store, with a warning for what cannot
   * be locked. `require`: no opening without the whole lock. `none`: not at all.
   */
  readonly mode?: 'try' | 'require' | 'none' | undefined
  /**
   * For a tree of more than one snapshot: those that nobody has used for this long are given up, in
   * ms; then the front end has to tell which files are open. Absent: what is entered is held to the end.
   */
  readonly releaseAfterMs?: number | undefined
  /** Folder of the server's lock files, when it is not the usual one. */
  readonly runtimeDir?: string | undefined
}

/** What is locked at this moment. */
export interface LockReport {
  /** Why nothing is ever locked; absent: locks are taken. */
  readonly none?: string
  readonly held: readonly HeldSnapshot[]
}

/** Who locks the snapshots of a store, or why nobody does. */
export type Locking = { readonly holds: SnapshotHolds } | { readonly none: string }

/** Decides whether snapshots of this store are locked. Throws SourceError when they must be and cannot. */
export function chooseLocking(source: StoreSource, datastore: Datastore, path: string, locks: LockSettings, log: Log): Locking {
  const { mode = 'try', releaseAfterMs, runtimeDir = SERVER_RUNTIME_DIR } = locks
  if (mode === 'none') return { none: 'by --no-lock' }
  const { configured, configProblem, selector } = source
  if (configured === undefined && mode === 'require') {
    const why = configProblem ?? 'no server on this host has this store in its configuration'
    throw new SourceError(`${path}: snapshots cannot be locked, and that is required: ${why}`, { path, operation: 'lock' })
  }
  if (configured === undefined && (configProblem === undefined || !existsSync(runtimeDir))) {
    return { none: 'no server on this host has the store' }
  }
  if (configured === undefined) {
    const message = 'it is not known what the server calls this store, so its snapshots are not fully locked'
    log.warn(`${message}: ${configProblem}`, { path })
  }
  const holds = new SnapshotHolds(datastore, {
    server: { store: configured?.name, runtimeDir },
    required: mode === 'require',
    releaseAfterMs: selector.time === undefined ? (releaseAfterMs ?? Infinity) : Infinity,
    warn: (message, fields) => log.warn(message, fields),
  })
  return { holds }
}

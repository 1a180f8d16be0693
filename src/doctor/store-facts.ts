import { existsSync } from 'node:fs'
import { listSnapshots, type SnapshotSummary } from '../browse/list-snapshots.js'
import { escapeName } from '../bytes/names.js'
import { isPbsfsError } from '../errors/errors.js'
import type { Datastore } from '../source/datastore.js'
import type { StoreSource } from '../source/resolve-source.js'
import type { LockFacts, StoreFacts } from './check-store.js'

export interface StoreQuestion {
  readonly source: StoreSource
  readonly store: Datastore
  /** Folder of the server's lock files. */
  readonly runtimeDir: string
  /** Of the keys that were found: 64 hex digits each. */
  readonly fingerprints: ReadonlySet<string>
}

/** Looks at manifests, and takes and gives back the lock of the newest snapshot. Rejects with SourceError. */
export async function readStoreFacts({ source, store, runtimeDir, fingerprints }: StoreQuestion): Promise<StoreFacts> {
  const info = await store.describe()
  const { snapshots } = await listSnapshots(store, source.selector)
  return {
    path: escapeName(Buffer.from(source.path)),
    snapshots: snapshots.length,
    unreadable: snapshots.flatMap(({ snapshot, problem }) => (problem === undefined ? [] : [`${nameOf(snapshot)}: ${problem}`])),
    remarks: info.remarks,
    configuredAs: source.configured?.name,
    configProblem: source.configProblem,
    maintenance: source.maintenance,
    lock: await tryLock(source, store, runtimeDir, snapshots),
    keys: countKeys(snapshots, fingerprints),
  }
}

async function tryLock(source: StoreSource, store: Datastore, runtimeDir: string, snapshots: readonly SnapshotSummary[]): Promise<LockFacts | undefined> {
  const { configured, configProblem } = source
  if (configured === undefined && (configProblem === undefined || !existsSync(runtimeDir))) return undefined
  const newest = snapshots.toSorted((a, b) => b.epoch - a.epoch)[0]
  if (newest === undefined) return { snapshot: '', problems: [] }
  try {
    const lock = await store.lockSnapshot(newest.snapshot, { store: configured?.name, runtimeDir })
    if (lock === undefined) return undefined
    await store.unlockSnapshot(newest.snapshot, lock.id)
    return { snapshot: nameOf(newest.snapshot), problems: lock.problems.map(({ message }) => message) }
  } catch (error) {
    if (!isPbsfsError(error)) throw error
    return { busy: error.message }
  }
}

function countKeys(snapshots: readonly SnapshotSummary[], fingerprints: ReadonlySet<string>): StoreFacts['keys'] {
  const counts = new Map<string, number>()
  for (const { keyFingerprint, files } of snapshots) {
    if (keyFingerprint !== undefined && files.some(({ cryptMode }) => cryptMode === 'encrypt')) counts.set(keyFingerprint, (counts.get(keyFingerprint) ?? 0) + 1)
  }
  return [...counts].map(([fingerprint, count]) => ({ fingerprint: fingerprint.match(/../g)!.join(':'), snapshots: count, isHere: fingerprints.has(fingerprint) }))
}

function nameOf({ group: { ns, type, id }, time }: SnapshotSummary['snapshot']): string {
  return [...ns.flatMap((name) => ['ns', name]), type, id, time].map(escapeName).join('/')
}

import { isPbsfsError } from '../errors/errors.js'
import type { Datastore, GroupRef, Namespace, Skipped, SnapshotRef } from '../source/datastore.js'
import type { ManifestFile, VerifyState } from '../source/manifest.js'
import { LATEST, type Selector } from '../source/source-string.js'
import { SourceError } from '../errors/errors.js'

/** Manifests asked for at once. */
const AT_ONCE = 16

/** One backup, as a person asks for it. */
export interface SnapshotSummary {
  readonly snapshot: SnapshotRef
  /** Unix seconds. */
  readonly epoch: number
  readonly owner: string | undefined
  /** Empty when the manifest cannot be read. */
  readonly files: readonly ManifestFile[]
  /** Bytes of all files, as they are when they are restored. */
  readonly size: number
  readonly protected: boolean
  readonly verify: VerifyState | undefined
  readonly notes: string | undefined
  /** Of the key it is encrypted or signed with, where the manifest tells: 64 hex digits. */
  readonly keyFingerprint: string | undefined
  /** Why the manifest cannot be read. */
  readonly problem: string | undefined
}

export interface StoreSummary {
  readonly namespaces: readonly Namespace[]
  /** Groups, those without a finished snapshot, too. */
  readonly groups: readonly GroupRef[]
  /** By namespace, type and id; the newest of a group last. */
  readonly snapshots: readonly SnapshotSummary[]
  readonly skipped: readonly Skipped[]
}

/** Everything that `selector` names. Rejects with SourceError when there is no such thing. */
export async function listSnapshots(store: Datastore, selector: Selector): Promise<StoreSummary> {
  const skipped: Skipped[] = []
  const namespaces: Namespace[] = []
  const groups: GroupRef[] = []
  const snapshots: SnapshotSummary[] = []
  const visit = async (ns: Namespace): Promise<void> => {
    namespaces.push(ns)
    const found = await store.listGroups(ns)
    skipped.push(...found.skipped)
    groups.push(...found.entries.filter((group) => isSelected(group, selector)))
    if (selector.type !== undefined) return
    const below = await store.listNamespaces(ns)
    skipped.push(...below.skipped)
    for (const name of below.entries) await visit([...ns, name])
  }
  if (selector.ns.length > 0) await requireNamespace(store, selector.ns)
  await visit(selector.ns)
  if (groups.length === 0 && selector.id !== undefined) throw missing(selector, 'there is no such group')
  for (const group of groups) {
    const { entries, skipped: unusable } = await store.listSnapshots(group)
    skipped.push(...unusable)
    const chosen = selector.time === undefined ? entries : selector.time === LATEST ? entries.slice(-1) : entries.filter(({ time }) => time === selector.time)
    if (chosen.length === 0 && selector.time !== undefined) throw missing(selector, 'there is no such finished snapshot')
    const owner = (await store.groupInfo(group).catch(() => undefined))?.owner
    for (let i = 0; i < chosen.length; i += AT_ONCE) {
      const part = chosen.slice(i, i + AT_ONCE)
      snapshots.push(...(await Promise.all(part.map(({ time, epoch }) => summarize(store, { group, time }, epoch, owner)))))
    }
  }
  return { namespaces, groups, snapshots, skipped }
}

async function summarize(store: Datastore, snapshot: SnapshotRef, epoch: number, owner: string | undefined): Promise<SnapshotSummary> {
  try {
    const { manifest, protected: isProtected } = await store.readManifest(snapshot)
    const { files, verify, notes, keyFingerprint } = manifest
    const size = files.reduce((sum, file) => sum + file.size, 0)
    return { snapshot, epoch, owner, files, size, protected: isProtected, verify, notes, keyFingerprint, problem: undefined }
  } catch (error) {
    if (!isPbsfsError(error)) throw error
    return { snapshot, epoch, owner, files: [], size: 0, protected: false, verify: undefined, notes: undefined, keyFingerprint: undefined, problem: error.message }
  }
}

function isSelected(group: GroupRef, { type, id }: Selector): boolean {
  return (type === undefined || group.type === type) && (id === undefined || group.id === id)
}

async function requireNamespace(store: Datastore, ns: Namespace): Promise<void> {
  const { entries } = await store.listNamespaces(ns.slice(0, -1))
  if (!entries.includes(ns.at(-1)!)) throw missing({ ns }, 'there is no such namespace')
}

function missing({ ns, type, id, time }: Selector, why: string): SourceError {
  const path = [...ns.flatMap((name) => ['ns', name]), type, id, time].filter((part) => part !== undefined).join('/')
  return new SourceError(`${path}: ${why}`, { path, operation: 'list', code: 'ENOENT' })
}

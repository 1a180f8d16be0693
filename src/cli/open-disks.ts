import { basename } from 'node:path'
import { changedSince } from '../browse/changed-since.js'
import { findDisks, placeOf, type DiskSearch, type FoundDisk } from '../browse/find-disks.js'
import { listSnapshots, type SnapshotSummary } from '../browse/list-snapshots.js'
import type { TreeView } from '../browse/tree-view.js'
import { escapeName } from '../bytes/names.js'
import type { DaemonLog } from '../daemon/log.js'
import { isBug } from '../errors/errno.js'
import { isPbsfsError, messageOf, SourceError, UsageError } from '../errors/errors.js'
import type { Disk } from '../nbd/disk-table.js'
import type { GroupRef, SnapshotRef } from '../source/datastore.js'
import type { ResolvedSource, StoreSource } from '../source/resolve-source.js'
import { parseSnapshotTime } from '../source/snapshot-time.js'
import { parseSelector, type Selector } from '../source/source-string.js'
import { openStoreThread } from '../source/store-thread.js'
import type { CommandContext } from './context.js'
import { findStoreSource, withSource, type OpenSource } from './open-source.js'
import { formatSize } from './parse-size.js'
import { argToBytes } from './raw-args.js'
import type { StoreArguments } from './store-options.js'

/** Which disks a command works with. */
export interface DiskArguments extends StoreArguments {
  readonly sources: readonly string[]
  /** The snapshot that tells what has changed. */
  readonly since?: string | undefined
  /** What that is called; undefined: as its time. */
  readonly bitmap?: string | undefined
  /** What of a whole disk somebody has to read; `view` shows its store. */
  readonly bitmapOf?: ((disk: OpenDisk, view: TreeView) => Promise<Disk['bitmap']>) | undefined
}

/** Says what is wrong with a disk, each thing once. `offset`: of the request that met it. */
export type Note = (error: unknown, name: string, offset?: number) => void

/** A disk that can be exported, and which one of the backup it is. */
export type OpenDisk = Disk & Pick<FoundDisk, 'identity' | 'snapshot' | 'image'>

/** Works with disks; `trees` are those of their stores, in the order of the sources: of one snapshot alone its own tree. */
export type UseDisks = (disks: readonly OpenDisk[], note: Note, trees: readonly TreeView[]) => Promise<void>

/** Opens what the sources name, lets `use` work with the disks in it and closes it. What is wrong goes to `log`. */
export async function withDisks(args: DiskArguments, context: CommandContext, log: DaemonLog, use: UseDisks): Promise<void> {
  const stores = await findStores(args, context)
  const naming = namingOf(stores)
  await withStores({ args, context, log, naming }, stores, [], async (disks, note, trees) => {
    if (disks.length === 0) throw new SourceError('there is no disk image in what was named', { operation: 'open', code: 'ENOENT' })
    await use(disks, note, trees)
  })
}

/** A snapshot to serve, and what of it. */
interface Wanted {
  readonly summary: SnapshotSummary
  readonly selector: Selector
}

/** What is served of one store. */
interface WantedStore {
  /** What its disks are compared with, by group. */
  readonly bases: Map<string, SnapshotSummary>
  readonly source: StoreSource
  /** As it was given, for what opens it. */
  readonly text: string
  readonly wanted: Wanted[]
}

/** What the sources name, by store; snapshots that are named twice are there once. */
async function findStores(args: DiskArguments, context: CommandContext): Promise<WantedStore[]> {
  const stores = new Map<string, WantedStore>()
  for (const text of args.sources) {
    const source = await findStoreSource({ ...args, source: text }, context)
    if (source.kind !== 'store') throw new UsageError(`${text}: nbd serves disks of a datastore`)
    const key = Buffer.from(source.path).toString('latin1')
    const store = stores.get(key) ?? { source, text, wanted: [], bases: new Map<string, SnapshotSummary>() }
    stores.set(key, store)
    await addWanted(store, source, args.since)
  }
  return [...stores.values()]
}

async function addWanted({ wanted, bases }: WantedStore, source: StoreSource, since: string | undefined): Promise<void> {
  const store = await openStoreThread({ kind: 'local', path: source.path })
  try {
    const { snapshots } = await listSnapshots(store, source.selector)
    for (const summary of snapshots) {
      wanted.push({ summary, selector: source.selector })
      const { group } = summary.snapshot
      if (since === undefined || bases.has(placeOfGroup(group))) continue
      const [base] = (await listSnapshots(store, baseSelector(since, group))).snapshots
      if (base !== undefined) bases.set(placeOfGroup(group), base)
    }
  } finally {
    await store.close()
  }
}

/** The snapshot that `--since` means for a group. UsageError when it means none. */
function baseSelector(since: string, { ns, type, id }: GroupRef): Selector {
  if (parseSnapshotTime(since) !== undefined) return { ns, type, id, time: since }
  const selector = parseSelector(argToBytes(since))
  if (selector.time === undefined || selector.archive !== undefined) {
    throw new UsageError(`--since: "${since}" is no snapshot`, { remedy: 'Write a time like 2026-01-01T00:00:00Z, or vm/100/2026-01-01T00:00:00Z.' })
  }
  return selector
}

function placeOfGroup({ ns, type, id }: GroupRef): string {
  return [...ns, type, id].join('/')
}

/** What stands in front of the names of a snapshot's disks: nothing, its place, or that in its store. */
type Naming = (store: StoreSource, snapshot: SnapshotRef) => string

function namingOf(stores: readonly WantedStore[]): Naming {
  if (stores.length === 1 && isOne(stores[0]!.wanted)) return () => ''
  if (stores.length === 1) return (_store, snapshot) => `${placeOf(snapshot)}/`
  const names = stores.map(({ source }) => basename(pathOf(source)))
  const areTold = new Set(names).size === names.length
  return (store, snapshot) => `${areTold ? basename(pathOf(store)) : pathOf(store).slice(1)}/${placeOf(snapshot)}/`
}

interface Serving {
  readonly args: DiskArguments
  readonly context: CommandContext
  readonly log: DaemonLog
  readonly naming: Naming
}

/** Opens the stores one in the other, and lets `use` work with the disks of all. */
async function withStores(
  serving: Serving,
  stores: readonly WantedStore[],
  disks: readonly OpenDisk[],
  use: UseDisks,
  note: Note = () => undefined,
  trees: readonly TreeView[] = [],
): Promise<void> {
  const [first, ...others] = stores
  if (first === undefined) return use(disks, note, trees)
  const { args, context, log } = serving
  // A snapshot that it is compared with is beside it.
  const only = isOne(first.wanted) && first.bases.size === 0 && args.bitmapOf === undefined ? first.wanted[0]!.summary.snapshot : undefined
  await withSource(
    { ...args, source: first.text },
    context,
    async (open) => {
      const noteHere: Note = (error, exportName, offset) => noteProblem(open, log, error, exportName, offset)
      const found = await disksOf(first, open, only !== undefined, serving, noteHere)
      await withStores(serving, others, [...disks, ...found], use, noteHere, [...trees, open.view])
    },
    (source) => openAs(source, only),
    log,
  )
}

/** The snapshot alone, locked to the end as a mount of it; or else the whole store. */
function openAs(source: ResolvedSource, only: SnapshotRef | undefined): ResolvedSource {
  if (source.kind !== 'store') return source
  if (only === undefined) return { ...source, selector: { ns: [] } }
  const { group, time } = only
  return { ...source, selector: { ns: group.ns, type: group.type, id: group.id, time } }
}

function isOne(wanted: readonly Wanted[]): boolean {
  return new Set(wanted.map(({ summary }) => placeOf(summary.snapshot))).size === 1
}

async function disksOf({ source, wanted, bases }: WantedStore, { view }: OpenSource, isRoot: boolean, serving: Serving, note: Note): Promise<OpenDisk[]> {
  const search = {
    view,
    folderOf: (snapshot: SnapshotRef) => (isRoot ? '' : `${placeOf(snapshot)}/`),
    prefixOf: (snapshot: SnapshotRef) => serving.naming(source, snapshot),
  }
  const disks = new Map<string, OpenDisk>()
  for (const { summary, selector } of wanted) {
    const place = placeOf(summary.snapshot)
    if (summary.problem !== undefined) {
      note(new SourceError(`${place}: ${summary.problem}`, { path: place, operation: 'open' }), place)
      continue
    }
    const base = bases.get(placeOfGroup(summary.snapshot.group))
    for (const disk of await findDisks(summary, selector, search)) {
      if (!disks.has(disk.name)) disks.set(disk.name, await withBitmap(disk, base, search, serving))
    }
  }
  return [...disks.values()]
}

/** A whole disk with what changed in it; partitions may have been elsewhere then. */
async function withBitmap(disk: FoundDisk, base: SnapshotSummary | undefined, search: DiskSearch, { args, context, log }: Serving): Promise<OpenDisk> {
  if (disk.volumes === undefined) return disk
  if (args.bitmapOf !== undefined) return { ...disk, bitmap: await args.bitmapOf(disk, search.view) }
  if (base === undefined) return disk
  const { time } = base.snapshot
  const ranges = await changedSince(disk, base, search)
  if (typeof ranges === 'string') {
    log.warn(`it cannot be told what changed since ${time}: ${ranges}`, { export: disk.name })
    return disk
  }
  context.output.err(`${escapeName(disk.name)}: ${formatSize(ranges.bytes)} changed since ${time}\n`)
  return { ...disk, bitmap: { name: args.bitmap ?? time, ranges: () => Promise.resolve(ranges) } }
}

function pathOf({ path }: StoreSource): string {
  return escapeName(Buffer.from(path))
}

function noteProblem({ problems }: OpenSource, log: DaemonLog, error: unknown, exportName: string, offset: number | undefined): void {
  const fields = { export: exportName, ...(offset === undefined ? {} : { request: offset }) }
  const message = messageOf(error)
  if (isBug(error)) log.error(`bug: ${message}`, { ...fields, stack: error instanceof Error ? error.stack : undefined })
  else if (problems.add(error, { export: exportName })) log.warn(message, { ...fields, ...(isPbsfsError(error) ? error.fields : {}) })
}


import { basename } from 'node:path'
import { changedSince } from '../../browse/changed-since.js'
import { findDisks, placeOf, type DiskSearch, type FoundDisk } from '../../browse/find-disks.js'
import { listSnapshots, type SnapshotSummary } from '../../browse/list-snapshots.js'
import { escapeName } from '../../bytes/names.js'
import { createLog, openLogFile, stderrTarget, type DaemonLog } from '../../daemon/log.js'
import type { LogLevel } from '../../daemon/log-level.js'
import { currentFolder, joinBytes } from '../../daemon/mountpoint.js'
import { ownNbdSocket } from '../../daemon/nbd-socket.js'
import { isBug } from '../../errors/errno.js'
import { isPbsfsError, SourceError, UsageError } from '../../errors/errors.js'
import { DiskTable, type Disk } from '../../nbd/disk-table.js'
import { isLoopback, nbdUri, parseTcpAddress, unixAddress, type ListenAddress } from '../../nbd/listen-address.js'
import { NbdServer } from '../../nbd/server.js'
import { readCertificates, readPskFile, tlsStarter, type TlsCredentials } from '../../nbd/tls-credentials.js'
import type { GroupRef, SnapshotRef } from '../../source/datastore.js'
import type { ResolvedSource, StoreSource } from '../../source/resolve-source.js'
import { parseSnapshotTime } from '../../source/snapshot-time.js'
import { parseSelector, type Selector } from '../../source/source-string.js'
import { openStoreThread } from '../../source/store-thread.js'
import type { CommandContext } from '../context.js'
import { EXIT } from '../exit-codes.js'
import { findStoreSource, withSource, type OpenSource } from '../open-source.js'
import { argToBytes } from '../raw-args.js'
import { formatSize } from '../parse-size.js'
import type { StoreArguments } from '../store-options.js'
import { formatTable } from '../table.js'

export interface NbdArguments extends StoreArguments {
  readonly sources: readonly string[]
  readonly socket: string | undefined
  readonly listen: string | undefined
  readonly since: string | undefined
  readonly bitmap: string | undefined
  readonly tls: boolean
  readonly tlsCertificates: string | undefined
  readonly tlsPsk: string | undefined
  readonly tlsVerifyPeer: boolean
  readonly noTls: boolean
  readonly log: string | undefined
  readonly logLevel: string | undefined
}

/** Of more disks the partitions are not looked for before a client asks for one. */
const MAX_LOOKED_INTO = 64

const END_SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

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

/** `pbsfs nbd`: serves disks until a signal ends it. */
export async function nbd(args: NbdArguments, context: CommandContext): Promise<number> {
  const { address, credentials } = readNetworkArguments(args)
  if (args.bitmap !== undefined && args.since === undefined) throw new UsageError('--bitmap belongs to --since')
  const log = openLog(args)
  try {
    const stores = await findStores(args, context)
    const naming = namingOf(stores)
    await withStores({ args, context, log, naming }, stores, [], async (disks, note) => {
      if (disks.length === 0) throw new SourceError('there is no disk image in what was named', { operation: 'open', code: 'ENOENT' })
      const table = new DiskTable(disks)
      await lookInto(disks, table, note)
      const server = await NbdServer.listen(address ?? unixAddress(ownNbdSocket()), {
        exports: table,
        log,
        onProblem: note,
        ...(credentials === undefined ? {} : { startTls: tlsStarter(credentials) }),
      })
      const ended = untilSignal(server, log)
      tell(server, table, credentials, context)
      await ended
    })
    return EXIT.ok
  } finally {
    log.close()
  }
}

function readNetworkArguments(args: NbdArguments): { address: ListenAddress | undefined; credentials: TlsCredentials | undefined } {
  const { socket, listen, tls, tlsCertificates, tlsPsk, tlsVerifyPeer, noTls } = args
  if (socket !== undefined && listen !== undefined) throw new UsageError('either --socket or --listen')
  if (tlsCertificates !== undefined && tlsPsk !== undefined) throw new UsageError('either --tls-certificates or --tls-psk')
  const given = tlsCertificates ?? tlsPsk
  if (tls && given === undefined) throw new UsageError('--tls needs --tls-certificates FOLDER or --tls-psk FILE')
  if (noTls && given !== undefined) throw new UsageError('--no-tls and TLS exclude each other')
  if (tlsVerifyPeer && tlsCertificates === undefined) throw new UsageError('--tls-verify-peer needs --tls-certificates')
  const address = socket !== undefined ? unixAddress(absolute(socket)) : listen === undefined ? undefined : parseTcpAddress(listen)
  if (address?.kind === 'tcp' && given === undefined && !noTls && !isLoopback(address.host)) {
    throw new UsageError(`--listen ${listen}: other hosts are served with TLS only`, {
      remedy: 'Add --tls-certificates or --tls-psk; --no-tls serves without, and then whoever reaches the port reads the disks.',
    })
  }
  const path = given === undefined ? '' : argToBytes(given).toString()
  const credentials = given === undefined ? undefined : tlsPsk === undefined ? readCertificates(path, tlsVerifyPeer) : readPskFile(path)
  return { address, credentials }
}

function openLog({ log, logLevel }: NbdArguments): DaemonLog {
  const target = log === undefined ? stderrTarget(false) : openLogFile(Buffer.from(absolute(log)))
  return createLog(target, (logLevel ?? 'info') as LogLevel)
}

/** What the sources name, by store; snapshots that are named twice are there once. */
async function findStores(args: NbdArguments, context: CommandContext): Promise<WantedStore[]> {
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

type Note = (error: unknown, exportName: string, offset?: number) => void

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
  readonly args: NbdArguments
  readonly context: CommandContext
  readonly log: DaemonLog
  readonly naming: Naming
}

/** Opens the stores one in the other, and lets `use` work with the disks of all. */
async function withStores(
  serving: Serving,
  stores: readonly WantedStore[],
  disks: readonly Disk[],
  use: (disks: readonly Disk[], note: Note) => Promise<void>,
  note: Note = () => undefined,
): Promise<void> {
  const [first, ...others] = stores
  if (first === undefined) return use(disks, note)
  const { args, context, log } = serving
  // The snapshot that it is compared with is beside it.
  const only = isOne(first.wanted) && first.bases.size === 0 ? first.wanted[0]!.summary.snapshot : undefined
  await withSource(
    { ...args, source: first.text },
    context,
    async (open) => {
      const noteHere: Note = (error, exportName, offset) => noteProblem(open, log, error, exportName, offset)
      const found = await disksOf(first, open, only !== undefined, serving, noteHere)
      await withStores(serving, others, [...disks, ...found], use, noteHere)
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

async function disksOf({ source, wanted, bases }: WantedStore, { view }: OpenSource, isRoot: boolean, serving: Serving, note: Note): Promise<Disk[]> {
  const search = {
    view,
    folderOf: (snapshot: SnapshotRef) => (isRoot ? '' : `${placeOf(snapshot)}/`),
    prefixOf: (snapshot: SnapshotRef) => serving.naming(source, snapshot),
  }
  const disks = new Map<string, Disk>()
  for (const { summary, selector } of wanted) {
    const place = placeOf(summary.snapshot)
    if (summary.problem !== undefined) {
      note(new SourceError(`${place}: ${summary.problem}`, { path: place, operation: 'open' }), place)
      continue
    }
    const base = bases.get(placeOfGroup(summary.snapshot.group))
    for (const disk of await findDisks(summary, selector, search)) {
      if (!disks.has(disk.name)) disks.set(disk.name, base === undefined ? disk : await withBitmap(disk, base, search, serving))
    }
  }
  return [...disks.values()]
}

/** A whole disk with what changed in it; partitions may have been elsewhere then. */
async function withBitmap(disk: FoundDisk, base: SnapshotSummary, search: DiskSearch, { args, context, log }: Serving): Promise<Disk> {
  if (disk.volumes === undefined) return disk
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

/** What is inside the disks; one that cannot be read is served all the same. */
async function lookInto(disks: readonly Disk[], table: DiskTable, note: Note): Promise<void> {
  if (disks.length > MAX_LOOKED_INTO) return
  await Promise.all(
    disks.map((disk) =>
      table.look(disk).catch((error: unknown) => {
        if (!isPbsfsError(error)) throw error
        note(error, disk.name)
      }),
    ),
  )
}

function noteProblem({ problems }: OpenSource, log: DaemonLog, error: unknown, exportName: string, offset: number | undefined): void {
  const fields = { export: exportName, ...(offset === undefined ? {} : { request: offset }) }
  const message = error instanceof Error ? error.message : String(error)
  if (isBug(error)) log.error(`bug: ${message}`, { ...fields, stack: error instanceof Error ? error.stack : undefined })
  else if (problems.add(error, { export: exportName })) log.warn(message, { ...fields, ...(isPbsfsError(error) ? error.fields : {}) })
}

/** Each export with the URI that a client takes. */
function tell({ address }: NbdServer, table: DiskTable, credentials: TlsCredentials | undefined, { output }: CommandContext): void {
  const exports = table.list()
  output.out(formatTable(exports.map(({ name }) => [escapeName(name), nbdUri(address, name, credentials)])))
  const where = address.kind === 'unix' ? escapeName(address.path) : `${address.host}:${address.port}`
  output.err(`serving ${exports.length === 1 ? 'one export' : `${exports.length} exports`}, read only, on ${where}; Ctrl-C ends it\n`)
}

/** The first signal lets clients have what they asked for, a second one does not. */
function untilSignal(server: NbdServer, log: DaemonLog): Promise<void> {
  return new Promise((resolve) => {
    let signals = 0
    const onSignal = (signal: NodeJS.Signals): void => {
      log.info('ending', { signal, clients: server.connections })
      if (++signals > 1) return server.cutOff()
      void server.close().then(() => {
        for (const one of END_SIGNALS) process.off(one, onSignal)
        resolve()
      })
    }
    for (const one of END_SIGNALS) process.on(one, onSignal)
  })
}

function absolute(path: string): string {
  const bytes = argToBytes(path)
  return (bytes[0] === 0x2f ? bytes : joinBytes(currentFolder(), bytes)).toString()
}

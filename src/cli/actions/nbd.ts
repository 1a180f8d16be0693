import { basename } from 'node:path'
import { findDisks, placeOf, type FoundDisk } from '../../browse/find-disks.js'
import { listSnapshots, type SnapshotSummary } from '../../browse/list-snapshots.js'
import { escapeName } from '../../bytes/names.js'
import { createLog, openLogFile, stderrTarget, type DaemonLog } from '../../daemon/log.js'
import type { LogLevel } from '../../daemon/log-level.js'
import { currentFolder, joinBytes } from '../../daemon/mountpoint.js'
import { ownNbdSocket } from '../../daemon/nbd-socket.js'
import { isBug } from '../../errors/errno.js'
import { isPbsfsError, SourceError, UsageError } from '../../errors/errors.js'
import { DiskTable } from '../../nbd/disk-table.js'
import { isLoopback, nbdUri, parseTcpAddress, unixAddress, type ListenAddress } from '../../nbd/listen-address.js'
import { NbdServer } from '../../nbd/server.js'
import { readCertificates, readPskFile, tlsStarter, type TlsCredentials } from '../../nbd/tls-credentials.js'
import type { SnapshotRef } from '../../source/datastore.js'
import type { ResolvedSource, StoreSource } from '../../source/resolve-source.js'
import type { Selector } from '../../source/source-string.js'
import { openStoreThread } from '../../source/store-thread.js'
import type { CommandContext } from '../context.js'
import { EXIT } from '../exit-codes.js'
import { findStoreSource, withSource, type OpenSource } from '../open-source.js'
import { argToBytes } from '../raw-args.js'
import type { StoreArguments } from '../store-options.js'
import { formatTable } from '../table.js'

export interface NbdArguments extends StoreArguments {
  readonly sources: readonly string[]
  readonly socket: string | undefined
  readonly listen: string | undefined
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
  readonly source: StoreSource
  /** As it was given, for what opens it. */
  readonly text: string
  readonly wanted: Wanted[]
}

/** `pbsfs nbd`: serves disks until a signal ends it. */
export async function nbd(args: NbdArguments, context: CommandContext): Promise<number> {
  const { address, credentials } = readNetworkArguments(args)
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
      tell(server, table, credentials, context)
      await untilSignal(server, log)
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
    const store = stores.get(key) ?? { source, text, wanted: [] }
    stores.set(key, store)
    store.wanted.push(...(await findWanted(source)))
  }
  return [...stores.values()]
}

async function findWanted(source: StoreSource): Promise<Wanted[]> {
  const store = await openStoreThread({ kind: 'local', path: source.path })
  try {
    const { snapshots } = await listSnapshots(store, source.selector)
    return snapshots.map((summary) => ({ summary, selector: source.selector }))
  } finally {
    await store.close()
  }
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
  disks: readonly FoundDisk[],
  use: (disks: readonly FoundDisk[], note: Note) => Promise<void>,
  note: Note = () => undefined,
): Promise<void> {
  const [first, ...others] = stores
  if (first === undefined) return use(disks, note)
  const { args, context, log, naming } = serving
  const only = isOne(first.wanted) ? first.wanted[0]!.summary.snapshot : undefined
  await withSource(
    { ...args, source: first.text },
    context,
    async (open) => {
      const noteHere: Note = (error, exportName, offset) => noteProblem(open, log, error, exportName, offset)
      const found = await disksOf(first, open, only !== undefined, naming, noteHere)
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

async function disksOf({ source, wanted }: WantedStore, { view }: OpenSource, isRoot: boolean, naming: Naming, note: Note): Promise<FoundDisk[]> {
  const search = {
    view,
    folderOf: (snapshot: SnapshotRef) => (isRoot ? '' : `${placeOf(snapshot)}/`),
    prefixOf: (snapshot: SnapshotRef) => naming(source, snapshot),
  }
  const disks: FoundDisk[] = []
  for (const { summary, selector } of wanted) {
    const place = placeOf(summary.snapshot)
    if (summary.problem !== undefined) note(new SourceError(`${place}: ${summary.problem}`, { path: place, operation: 'open' }), place)
    else disks.push(...(await findDisks(summary, selector, search)))
  }
  const names = new Set<string>()
  return disks.filter(({ name }) => !names.has(name) && names.add(name))
}

function pathOf({ path }: StoreSource): string {
  return escapeName(Buffer.from(path))
}

/** What is inside the disks; one that cannot be read is served all the same. */
async function lookInto(disks: readonly FoundDisk[], table: DiskTable, note: Note): Promise<void> {
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
async function untilSignal(server: NbdServer, log: DaemonLog): Promise<void> {
  await new Promise<void>((resolve) => {
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

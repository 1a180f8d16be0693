import { accessRanges } from '../../access/access.js'
import { groupName } from '../../access/access-state.js'
import { GroupDisks } from '../../access/snapshot-disks.js'
import { escapeName, escapeText } from '../../bytes/names.js'
import { createLog, openLogFile, stderrTarget, type DaemonLog } from '../../daemon/log.js'
import type { LogLevel } from '../../daemon/log-level.js'
import { fromRoot } from '../../daemon/mountpoint.js'
import { ownNbdSocket } from '../../daemon/nbd-socket.js'
import { isPbsfsError, UsageError } from '../../errors/errors.js'
import { DiskTable, type Disk } from '../../nbd/disk-table.js'
import { isLoopback, nbdUri, parseTcpAddress, unixAddress, type ListenAddress } from '../../nbd/listen-address.js'
import { NbdServer } from '../../nbd/server.js'
import { readCertificates, readPskFile, tlsStarter, type TlsCredentials } from '../../nbd/tls-credentials.js'
import { chooseAccess, groupSource, openStateFiles } from '../choose-access.js'
import type { CommandContext } from '../context.js'
import { EndSignals } from '../end-signals.js'
import { onlyDisk, openDiskOverlay } from '../disk-overlay.js'
import { EXIT } from '../exit-codes.js'
import { withDisks, type DiskArguments, type Note } from '../open-disks.js'
import { formatSize } from '../parse-size.js'
import { argToBytes } from '../raw-args.js'
import { formatTable } from '../table.js'

export interface NbdArguments extends DiskArguments {
  readonly socket: string | undefined
  readonly listen: string | undefined
  readonly overlay: string | undefined
  /** TARGET-ID of an access that is set up, in place of sources; `group` chooses among several. */
  readonly access: string | undefined
  readonly group: string | undefined
  readonly stateDir: string | undefined
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

/** `pbsfs nbd`: serves disks until a signal ends it. */
export async function nbd(args: NbdArguments, context: CommandContext): Promise<number> {
  const { address, credentials } = readNetworkArguments(args)
  if (args.bitmap !== undefined && args.since === undefined) throw new UsageError('--bitmap belongs to --since')
  const wanted = args.access === undefined ? args : disksOfAccess(args, args.access, context)
  if (wanted.sources.length === 0) throw new UsageError('say what is to be served', { remedy: 'Name a SOURCE, or an access that is set up: --access TARGET-ID' })
  const log = openLog(args)
  try {
    await withDisks(wanted, context, log, async (disks, note) => {
      const overlay = args.overlay === undefined ? undefined : await openDiskOverlay(onlyDisk(disks), argToBytes(args.overlay))
      try {
        const shown = overlay === undefined ? disks : [overlay.disk]
        const table = new DiskTable(shown)
        await lookInto(shown, table, note)
        const server = await NbdServer.listen(address ?? unixAddress(ownNbdSocket()), {
          exports: table,
          log,
          onProblem: note,
          ...(credentials === undefined ? {} : { startTls: tlsStarter(credentials) }),
        })
        const ended = untilSignal(server, log)
        tell(server, table, credentials, args.overlay, context)
        await ended
      } finally {
        await overlay?.close()
      }
    })
    return EXIT.ok
  } finally {
    log.close()
  }
}

/** The disks of an access, each with what its target has to read. */
function disksOfAccess(args: NbdArguments, target: string, context: CommandContext): DiskArguments {
  if (args.sources.length > 0) throw new UsageError('--access stands in place of SOURCE: the snapshot is that of the access')
  if (args.since !== undefined || args.overlay !== undefined) throw new UsageError(`--access and --${args.since !== undefined ? 'since' : 'overlay'} exclude each other`)
  const state = chooseAccess(openStateFiles(args, context), target, args.group, context)
  const { place, active } = state
  const folder = groupName(place)
  return {
    ...args,
    repository: undefined,
    ns: undefined,
    sources: [`${groupSource(place)}/${active!.snapshot}`],
    bitmapOf: async ({ image, name }, view) => {
      const { bitmap, action, ranges, reason } = await accessRanges(new GroupDisks(view, folder), state, image)
      context.output.err(`${escapeName(name)}: ${formatSize(ranges.bytes)} to read (${action}${reason === undefined ? '' : `: ${escapeText(reason)}`})\n`)
      return bitmap === undefined ? undefined : { name: bitmap, ranges: () => Promise.resolve(ranges) }
    },
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
  const address = socket !== undefined ? unixAddress(fromRoot(argToBytes(socket)).toString()) : listen === undefined ? undefined : parseTcpAddress(listen)
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
  const target = log === undefined ? stderrTarget(false) : openLogFile(fromRoot(argToBytes(log)))
  return createLog(target, (logLevel ?? 'info') as LogLevel)
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

/** Each export with the URI that a client takes. */
function tell({ address }: NbdServer, table: DiskTable, credentials: TlsCredentials | undefined, overlay: string | undefined, { output }: CommandContext): void {
  const exports = table.list()
  output.out(formatTable(exports.map(({ name }) => [escapeName(name), nbdUri(address, name, credentials)])))
  const where = address.kind === 'unix' ? escapeName(address.path) : `${address.host}:${address.port}`
  const how = overlay === undefined ? 'read only' : `what is written goes to ${escapeName(argToBytes(overlay))}`
  output.err(`serving ${exports.length === 1 ? 'one export' : `${exports.length} exports`}, ${how}, on ${where}; Ctrl-C ends it\n`)
}

/** The first signal lets clients have what they asked for, a second one does not. */
function untilSignal(server: NbdServer, log: DaemonLog): Promise<void> {
  return new Promise((resolve) => {
    const signals = new EndSignals()
    let count = 0
    signals.listen((signal) => {
      log.info('ending', { signal, clients: server.connections })
      if (++count > 1) return server.cutOff()
      void server.close().then(() => {
        signals.end()
        resolve()
      })
    })
  })
}

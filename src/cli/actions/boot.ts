import { rmSync } from 'node:fs'
import { hostname } from 'node:os'
import { lookAtHost } from '../../boot/look-at-host.js'
import { guessMachine, MAX_CONFIG, parseMachineConfig, type MachineConfig } from '../../boot/machine-config.js'
import { buildQemuCommand, type QemuCommand, type Screen } from '../../boot/qemu-command.js'
import { startMachine } from '../../boot/run-machine.js'
import { makeScratchFolder } from '../../boot/scratch-folder.js'
import { placeOf } from '../../browse/find-disks.js'
import type { TreeView } from '../../browse/tree-view.js'
import { escapeName } from '../../bytes/names.js'
import { quoteBytes } from '../../bytes/shell-quote.js'
import { createLog, stderrTarget } from '../../daemon/log.js'
import { fromRoot } from '../../daemon/mountpoint.js'
import { ownNbdSocket, ownScreenSocket } from '../../daemon/nbd-socket.js'
import { withoutSecrets } from '../../daemon/secret-environment.js'
import { isPbsfsError, SourceError, UsageError } from '../../errors/errors.js'
import { isDamage } from '../../errors/is-damage.js'
import type { Log } from '../../errors/log.js'
import { DiskTable } from '../../nbd/disk-table.js'
import { nbdUri, unixAddress } from '../../nbd/listen-address.js'
import { NbdServer } from '../../nbd/server.js'
import type { CommandContext } from '../context.js'
import type { OverlaidDisk } from '../disk-overlay.js'
import { EndSignals } from '../end-signals.js'
import { EXIT, type ExitCode } from '../exit-codes.js'
import { withDisks, type Note, type OpenDisk } from '../open-disks.js'
import { findStoreSource } from '../open-source.js'
import { OverlayFolder } from '../overlay-folder.js'
import { parseSize } from '../parse-size.js'
import { argToBytes } from '../raw-args.js'
import { refuseInsideStore } from '../../posix/outside-stores.js'
import type { StoreArguments } from '../store-options.js'

export interface BootArguments extends StoreArguments {
  readonly run: boolean
  readonly overlay: string | undefined
  readonly memory: string | undefined
  readonly network: boolean
  readonly socket: string | undefined
  readonly qemuArguments: readonly string[]
}

/** Its configuration, as a snapshot shows it. */
const CONFIG = 'qemu-server.conf'

/** In front of the name that a disk has in the configuration. */
const DRIVE = 'drive-'

/** Not in memory, as /tmp may be: what is lost at the end is here until then. */
const SCRATCH_PARENT = '/var/tmp'

const MIB = 1024 * 1024
const MIN_MEMORY = 16 * MIB

/** `pbsfs boot`: serves the disks of a machine, writable, and starts it or tells how. */
export async function boot(args: BootArguments, context: CommandContext): Promise<ExitCode> {
  const wishes = readWishes(args)
  await checkSource(args, context)
  const log = createLog(stderrTarget(false), 'warn')
  let code: ExitCode = EXIT.ok
  try {
    await withDisks({ ...args, sources: [args.source] }, context, log, async (disks, note, [tree]) => {
      const signals = new EndSignals()
      try {
        code = await new Boot(args, context, log, note, signals).start(disks, tree!, wishes)
      } finally {
        signals.end()
      }
    })
    return code
  } finally {
    log.close()
  }
}

interface Wishes {
  readonly network: boolean
  /** MiB. */
  readonly memory: number | undefined
  readonly extra: readonly string[]
}

function readWishes({ memory, network, qemuArguments }: BootArguments): Wishes {
  const extra = qemuArguments.map((arg) => argToBytes(arg).toString())
  if (extra[0] !== undefined && !extra[0].startsWith('-')) throw new UsageError(`"${extra[0]}" is one argument too many; what is for QEMU stands behind --`)
  const bytes = memory === undefined ? undefined : parseSize(memory, '--memory')
  if (bytes !== undefined && bytes < MIN_MEMORY) throw new UsageError(`--memory: ${memory!} is too little for any machine; write it like 2G`)
  return { network, memory: bytes === undefined ? undefined : Math.floor(bytes / MIB), extra }
}

/** UsageError for what is no snapshot of a virtual machine, with what to do instead. */
async function checkSource(args: BootArguments, context: CommandContext): Promise<void> {
  const source = await findStoreSource(args, context)
  if (source.kind !== 'store') throw new UsageError(`${args.source}: boot starts machines of a datastore`, { remedy: 'Name a snapshot: STORE::vm/100/latest' })
  const { type, id, time, archive } = source.selector
  if (type === 'ct') throw new UsageError('a container has no disks to start from', { remedy: `Restore it: pbsfs restore STORE::ct/${id ?? 'ID'}/latest/root.pxar FOLDER` })
  if (type === 'host') throw new UsageError('the backup of a host has no disks to start from', { remedy: 'Look into it with pbsfs mount, or restore it with pbsfs restore.' })
  if (id === undefined || time === undefined) throw new UsageError('boot needs one snapshot', { remedy: `Name it: STORE::vm/${id ?? '100'}/latest` })
  if (archive !== undefined) throw new UsageError('boot takes all disks of a snapshot', { remedy: `Name the snapshot alone: STORE::vm/${id}/${time}; pbsfs nbd serves one disk.` })
}

class Boot {
  readonly #args: BootArguments
  readonly #context: CommandContext
  readonly #log: Log
  readonly #note: Note
  readonly #signals: EndSignals
  /** For QEMU. */
  readonly #env: NodeJS.ProcessEnv
  #isFull = false

  constructor(args: BootArguments, context: CommandContext, log: Log, note: Note, signals: EndSignals) {
    this.#args = args
    this.#context = context
    this.#log = log
    this.#note = note
    this.#signals = signals
    this.#env = withoutSecrets(context.env)
  }

  /** Resolves when all is over, and nothing is left but an overlay that is to be kept. */
  async start(disks: readonly OpenDisk[], tree: TreeView, wishes: Wishes): Promise<ExitCode> {
    const wanted = disks.filter(({ name }) => !name.startsWith(`${DRIVE}tpmstate`))
    const [first] = wanted
    if (first === undefined) throw new SourceError('there is no disk in the snapshot to start from', { operation: 'open', code: 'ENOENT' })
    const machine = await this.#readMachine(tree, wanted)
    const address = unixAddress(this.#args.socket === undefined ? ownNbdSocket() : fromRoot(argToBytes(this.#args.socket)).toString())
    const screenSocket = ownScreenSocket()
    const host = await lookAtHost(machine.arch, screenSocket, this.#env)
    const kept = this.#args.overlay === undefined ? undefined : fromRoot(argToBytes(this.#args.overlay))
    const scratchParent = this.#env['TMPDIR'] || SCRATCH_PARENT
    refuseInsideStore(kept ?? Buffer.from(scratchParent))
    const scratch = kept === undefined ? makeScratchFolder(scratchParent) : undefined
    const opened: OverlaidDisk[] = []
    try {
      const folder = kept ?? Buffer.from(scratch!.path)
      const overlays = new OverlayFolder(folder)
      this.#say(`${placeOf(first.snapshot)}: ${tellOverlays(overlays, escapeName(folder), wanted, kept !== undefined)}`)
      for (const disk of wanted) opened.push(await overlays.open(disk))
      const served = opened.map(({ disk, size }) => ({ name: configuredName(disk.name), uri: nbdUri(address, disk.name, undefined), size }))
      const command = buildQemuCommand(machine, served, host, wishes)
      for (const remark of command.remarks) this.#say(remark)
      const server = await NbdServer.listen(address, { exports: new DiskTable(opened.map(({ disk }) => disk)), log: this.#log, onProblem: this.#tellProblem })
      try {
        if (!wishes.network) this.#say('it has no network; --network gives it one')
        this.#tellScreen(host.screen, command)
        return this.#args.run ? await this.#run(command) : await this.#print(command, server)
      } finally {
        await server.close()
      }
    } finally {
      rmSync(screenSocket, { force: true })
      const closed = await Promise.allSettled(opened.map(({ close }) => close()))
      scratch?.remove()
      const failed = closed.find((one) => one.status === 'rejected')
      // What could not be made safe matters only where it is kept.
      if (failed !== undefined && kept !== undefined) throw failed.reason
    }
  }

  /** What the backup says of the machine, or else what its disks tell. */
  async #readMachine(tree: TreeView, disks: readonly OpenDisk[]): Promise<MachineConfig> {
    let why = 'there is no configuration in the backup'
    try {
      const found = await tree.child(await tree.root(), Buffer.from(CONFIG))
      if (found !== undefined) {
        const { stream, start, size } = await tree.content(found)
        return parseMachineConfig(await stream.read(start, Math.min(size, MAX_CONFIG + 1)), CONFIG)
      }
    } catch (error) {
      if (!isDamage(error)) throw error
      why = `the configuration cannot be read: ${escapeName((error as Error).message)}`
    }
    this.#say(`${why}; memory, firmware and controllers are guessed`)
    return guessMachine(disks.map(({ name }) => configuredName(name)))
  }

  readonly #tellProblem: Note = (error, name, offset) => {
    this.#note(error, name, offset)
    if (!isPbsfsError(error) || error.fields['code'] !== 'ENOSPC' || this.#isFull) return
    this.#isFull = true
    this.#say('QEMU has paused the machine; when there is space, it goes on with: Ctrl-a c, then cont')
  }

  #tellScreen(screen: Screen, { args }: QemuCommand): void {
    if ('socket' in screen && args.includes('-vnc')) {
      this.#say(`its screen: VNC on ${screen.socket}; from elsewhere: ssh -L 5900:${screen.socket} ${process.geteuid?.() === 0 ? 'root@' : ''}${hostname()}, and a VNC viewer on localhost:5900`)
    }
    if (args.includes('mon:stdio')) this.#say('its serial port and the monitor are in the terminal; Ctrl-a x ends it, Ctrl-a h tells more')
  }

  async #run({ program, args }: QemuCommand): Promise<ExitCode> {
    const machine = await startMachine(program, args, this.#env)
    let isStopped = false
    this.#signals.listen(() => {
      isStopped = true
      machine.stop()
    })
    const { code, signal } = await machine.ended
    if (code === 0 || (isStopped && signal === 'SIGTERM')) return EXIT.ok
    const how = signal === undefined ? `ended with ${code}; what it said is above` : `was ended by ${signal}`
    this.#context.output.err(`pbsfs: ${program} ${how}\n`)
    return EXIT.failed
  }

  /** Serves until a signal; the second one does not wait for clients. */
  async #print({ program, args }: QemuCommand, server: NbdServer): Promise<ExitCode> {
    const words = args.map((word) => (word.startsWith('-') ? ' \\\n  ' : ' ') + quoteBytes(Buffer.from(word)))
    this.#context.output.out(`${program}${words.join('')}\n`)
    const ended = new Promise<void>((resolve) => {
      let count = 0
      this.#signals.listen(() => {
        if (++count > 1) return server.cutOff()
        void server.close().then(resolve)
      })
    })
    this.#say('the disks are served for it; Ctrl-C ends that')
    await ended
    return EXIT.ok
  }

  #say(text: string): void {
    this.#context.output.err(`${text}\n`)
  }
}

/** Where what is written goes, and what becomes of it. */
function tellOverlays(overlays: OverlayFolder, folder: string, disks: readonly OpenDisk[], isKept: boolean): string {
  const shown = disks.length === 1 ? 'its disk' : `its ${disks.length} disks`
  if (!isKept) return `what is written to ${shown} is lost at the end (--overlay FOLDER keeps it); meanwhile it is in ${folder}`
  if (overlays.has(disks)) return `goes on with what was written to ${shown} before, in ${folder}`
  const others = overlays.otherTimes(disks[0]!)
  const older = others.length === 0 ? '' : `; what was written to the snapshot ${others.join(', ')} stays there, and this one begins without it`
  return `what is written to ${shown} is kept in ${folder}${older}`
}

/** `scsi0` of `drive-scsi0`; another image has no such name. */
function configuredName(name: string): string {
  return name.startsWith(DRIVE) ? name.slice(DRIVE.length) : `${name.replace(/\.img$/, '')}.img`
}

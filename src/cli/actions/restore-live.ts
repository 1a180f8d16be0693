import { createHash } from 'node:crypto'
import { mkdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isAboveArchives, isRegular, type Found } from '../../browse/tree-view.js'
import { escapeName } from '../../bytes/names.js'
import { createLog, stderrTarget } from '../../daemon/log.js'
import { fromRoot } from '../../daemon/mountpoint.js'
import { ownNbdSocket } from '../../daemon/nbd-socket.js'
import { AbortedError, IntegrityError, messageOf, TargetError, UsageError } from '../../errors/errors.js'
import { DiskTable } from '../../nbd/disk-table.js'
import { nbdUri, unixAddress } from '../../nbd/listen-address.js'
import { NbdServer } from '../../nbd/server.js'
import { SystemFile } from '../../overlay/block-file.js'
import type { CowDisk } from '../../overlay/cow-disk.js'
import { CowStream } from '../../overlay/cow-stream.js'
import { fillDisk } from '../../overlay/fill-disk.js'
import { openLiveTarget } from '../../overlay/open-live-target.js'
import { MAP_SUFFIX, mapPathOf } from '../../overlay/open-overlay.js'
import { kindOfTarget } from '../../restore/open-target.js'
import { recordFolder } from '../../restore/restore-record.js'
import type { Content } from '../../tree/tree.js'
import type { CommandContext } from '../context.js'
import { type ExitCode } from '../exit-codes.js'
import { Interruption } from '../interruption.js'
import { findTarget, type OpenSource } from '../open-source.js'
import { formatDuration, formatSize, parseSize } from '../parse-size.js'
import { Progress } from '../progress.js'
import { argToBytes } from '../raw-args.js'
import type { RestoreArguments } from '../restore-arguments.js'

/** How often it is looked whether the last client has gone, in ms. */
const CLIENTS_MS = 250

/** Bytes compared at a time. */
const COMPARED = 16 * 1024 * 1024

/** `pbsfs restore --live`: a disk is used over NBD while it is copied. */
export async function restoreLive(args: RestoreArguments, context: CommandContext, source: OpenSource, target: Buffer): Promise<ExitCode> {
  const found = await findTarget(source, undefined)
  const content = isRegular(found) && isAboveArchives(found) ? await source.view.content(found) : undefined
  const identity = content?.stream.chunks?.csum
  if (content === undefined || identity === undefined) throw new UsageError('--live is for disk images: name one, as STORE::vm/100/latest/drive-scsi0.img')
  const rate = args.rate === undefined ? undefined : parseSize(args.rate, '--rate')
  if (rate === 0) throw new UsageError('--rate: 0 bytes a second would never end')
  const kind = kindOfTarget(target)
  if (kind === 'folder' || kind === 'other') throw new UsageError(`${escapeName(target)} is neither a file nor a block device`)
  const mapPath = liveMapPath(target, kind === 'device', context.env)
  const disk = await openLiveTarget(
    { path: target, isDevice: kind === 'device', mapPath, overwrite: args.overwrite },
    { size: content.size, identity, image: content.stream.name },
    content.stream,
  )
  const { ino } = statSync(target)
  if (disk.map.count > 0) context.output.err(`going on with the restore that was begun there; to start anew, remove ${escapeName(mapPath)}\n`)
  const live = new LiveRestore(args, context, found, content, disk)
  try {
    await live.run(rate)
  } finally {
    await disk.close()
  }
  if (statSync(target, { throwIfNoEntry: false })?.ino !== ino) {
    throw new TargetError(`${escapeName(target)} was removed or replaced while it was restored`, { path: escapeName(target) })
  }
  // Only now is the target a disk like any other.
  SystemFile.remove(mapPath)
  live.report(target)
  return source.exitCode()
}

class LiveRestore {
  readonly #args: RestoreArguments
  readonly #context: CommandContext
  readonly #content: Content
  readonly #name: string
  readonly #disk: CowDisk
  readonly #interruption = new Interruption()
  readonly #progress = new Progress()
  readonly #began = performance.now()
  readonly #before: number

  constructor(args: RestoreArguments, context: CommandContext, found: Found, content: Content, disk: CowDisk) {
    this.#args = args
    this.#context = context
    this.#content = content
    this.#disk = disk
    this.#name = found.name.toString('utf8').replace(/\.img$/, '')
    this.#before = disk.map.count
  }

  /** Serves and copies until the target is complete. Rejects with AbortedError when it was ended before. */
  async run(rate: number | undefined): Promise<void> {
    const { signal } = this.#interruption
    const server = await this.#listen()
    try {
      await fillDisk(this.#disk, { signal, rate, onProgress: (done) => this.#show('restoring', done) })
      if (this.#args.verify) await this.#verify(signal)
      this.#progress.end()
      if (server.connections > 0) this.#context.output.err('everything is copied; the disk is served until its last user has gone, or Ctrl-C\n')
      while (server.connections > 0 && !signal.aborted) await new Promise((resolve) => setTimeout(resolve, CLIENTS_MS))
    } catch (error) {
      if (!(error instanceof AbortedError)) throw error
      throw new AbortedError('interrupted; the disk is not complete yet, and the same command goes on from there with all that was written')
    } finally {
      this.#progress.end()
      await server.close()
      this.#interruption.end()
    }
  }

  report(target: Buffer): void {
    const { size } = this.#content
    const seconds = (performance.now() - this.#began) / 1000
    const shown = escapeName(target)
    if (this.#args.json) {
      const document = { version: 1, target: shown, size, complete: true, blocksBefore: this.#before, blocks: this.#disk.map.count, seconds }
      this.#context.output.out(JSON.stringify(document, null, 2) + '\n')
    } else {
      this.#context.output.out(`${shown} is complete: ${formatSize(size)} in ${seconds < 10 ? `${seconds.toFixed(1)}s` : formatDuration(seconds)}\n`)
    }
  }

  async #listen(): Promise<NbdServer> {
    const { output } = this.#context
    const stream = new CowStream(this.#content.stream.name, this.#disk, this.#content.stream)
    const disk = {
      name: this.#name,
      description: `${this.#content.stream.name}, being restored`,
      content: async () => ({ stream, start: 0, size: this.#content.size, writer: this.#disk }),
    }
    const log = createLog(stderrTarget(false), 'warn')
    const socket = this.#args.socket === undefined ? ownNbdSocket() : fromRoot(argToBytes(this.#args.socket)).toString()
    const server = await NbdServer.listen(unixAddress(socket), {
      exports: new DiskTable([disk]),
      log,
      onProblem: (error) => log.warn(messageOf(error)),
    })
    output.err(`the disk can be used at ${nbdUri(server.address, disk.name, undefined)}\n`)
    return server
  }

  async #verify(signal: AbortSignal): Promise<void> {
    const { size } = this.#content
    for (let at = 0; at < size; at += COMPARED) {
      if (signal.aborted) throw new AbortedError('interrupted')
      const different = await this.#disk.compareCopies(at, Math.min(COMPARED, size - at))
      if (different !== undefined) throw new IntegrityError(`what was copied differs from the backup, at ${different}; the target does not keep what is written to it`, { offset: different })
      this.#show('verifying', Math.min(size, at + COMPARED))
    }
  }

  #show(label: string, done: number): void {
    const { size } = this.#content
    this.#progress.update({ label, done, total: size, bytes: done, counts: () => `${formatSize(done)} of ${formatSize(size)}` })
  }
}

/** Beside a file; what belongs to a device survives a start of the host only elsewhere. */
function liveMapPath(target: Buffer, isDevice: boolean, env: NodeJS.ProcessEnv): Buffer {
  if (!isDevice) return mapPathOf(target)
  const folder = join(dirname(recordFolder(env)), 'live')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const { rdev } = statSync(target)
  return Buffer.from(join(folder, `${createHash('sha256').update(target).update(String(rdev)).digest('hex').slice(0, 32)}${MAP_SUFFIX}`))
}

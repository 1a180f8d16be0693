import { isRegular, type Found } from '../../browse/tree-view.js'
import { escapeName, escapeText, unescapeName } from '../../bytes/names.js'
import { joinBytes, lastNameOf, parentOf } from '../../bytes/paths.js'
import { ownNbdSocket } from '../../daemon/nbd-socket.js'
import { AbortedError, PbsfsError, replaceFields, UsageError } from '../../errors/errors.js'
import { silentLog } from '../../errors/log.js'
import { DiskTable } from '../../nbd/disk-table.js'
import { nbdUri, unixAddress } from '../../nbd/listen-address.js'
import { NbdServer } from '../../nbd/server.js'
import { isPartOfOverlay, openOverlayReader, overlayPathOf, type OverlayReader } from '../../overlay/read-overlay.js'
import { refuseInsideStore } from '../../posix/outside-stores.js'
import { convertToQcow2 } from '../../restore/convert-disk.js'
import { kindOfTarget } from '../../restore/open-target.js'
import { restoreDevice } from '../../restore/restore-device.js'
import { copyContent } from '../../restore/write-content.js'
import { isThere, writeDiskFile, type UnfinishedFile } from '../../restore/write-disk-file.js'
import type { ResolvedSource } from '../../source/resolve-source.js'
import { formatSelector, parseSelector } from '../../source/source-string.js'
import type { Content } from '../../tree/tree.js'
import { absolutePath } from '../absolute-path.js'
import type { CommandContext } from '../context.js'
import { type ExitCode } from '../exit-codes.js'
import { Interruption } from '../interruption.js'
import { findTarget, withSource, type OpenSource } from '../open-source.js'
import { formatDuration, formatSize } from '../parse-size.js'
import { Progress } from '../progress.js'
import { argToBytes } from '../raw-args.js'
import { defaultRepository } from '../source-text.js'
import { OVERLAY_VERSION, type OverlayArguments } from './overlay.js'

type Format = 'raw' | 'qcow2'

/** Name of the only export of the server that qemu-img reads from. */
const EXPORT = 'disk'

/** `pbsfs overlay commit`: a backup with what was written over it becomes a disk of its own. */
export async function commitOverlay(args: OverlayArguments, context: CommandContext): Promise<ExitCode> {
  const { operands } = args
  const [file, given] = [operands[0], operands.at(-1)]
  const knowsStore = operands.length === 3 || (operands.length === 2 && (args.repository ?? defaultRepository(context.env)) !== undefined)
  if (file === undefined || given === undefined || !knowsStore) {
    throw new UsageError('overlay commit FILE STORE TARGET', { remedy: 'FILE: the overlay; STORE: the datastore its backup is in; TARGET: the file or device to write.' })
  }
  if (file === '' || given === '') throw new UsageError('the name of the overlay, or of the target, is empty')
  const path = overlayPathOf(absolutePath(argToBytes(file)))
  const target = absolutePath(argToBytes(given))
  refuseInsideStore(target)
  const reader = await openOverlayReader(path)
  try {
    return await withSource(
      args,
      context,
      (source) => new Commit(args, context, path, reader, source).run(target),
      (source) => imageOf(source, reader, path),
    )
  } finally {
    await reader.close()
  }
}

/** The image that the overlay names, unless the user names one. */
function imageOf(source: ResolvedSource, { header }: OverlayReader, path: Buffer): ResolvedSource {
  if (source.kind !== 'store') throw new UsageError('STORE: the backup of an overlay is in a datastore; give its path or name')
  if (source.selector.archive !== undefined) return source
  const selector = parseSelector(unescapeName(header.image))
  if (selector.archive === undefined) throw new UsageError(`${escapeName(path)} does not say which image it belongs to`, { remedy: 'Name the image: STORE::vm/100/TIME/drive-scsi0.img' })
  return { ...source, selector }
}

class Commit {
  readonly #args: OverlayArguments
  readonly #context: CommandContext
  readonly #path: Buffer
  readonly #reader: OverlayReader
  readonly #source: OpenSource
  readonly #interruption = new Interruption()
  readonly #progress = new Progress()
  readonly #since = performance.now()
  #wroteDevice = false

  constructor(args: OverlayArguments, context: CommandContext, path: Buffer, reader: OverlayReader, source: OpenSource) {
    this.#args = args
    this.#context = context
    this.#path = path
    this.#reader = reader
    this.#source = source
  }

  async run(target: Buffer): Promise<ExitCode> {
    try {
      const found = await findTarget(this.#source, undefined)
      const content = await this.#open(found)
      const kind = kindOfTarget(target)
      if (kind === 'other') throw new UsageError(`${escapeName(target)} is neither a file, a folder nor a block device`)
      const format = this.#args.format ?? (/\.qcow2$/i.test(lastNameOf(target).toString('latin1')) ? 'qcow2' : 'raw')
      const path = kind === 'folder' ? joinBytes(target, nameIn(found, format)) : target
      if (kind === 'device') await this.#toDevice(found, content, path, format)
      else await this.#toFile(content, path, format)
      this.#report(path, format, content.size)
      return this.#source.exitCode()
    } catch (error) {
      throw this.#explain(error)
    } finally {
      this.#progress.end()
      this.#interruption.end()
    }
  }

  /** The disk as its user sees it. */
  async #open(found: Found): Promise<Content> {
    const { stream, size } = isRegular(found) ? await this.#source.view.content(found) : { stream: undefined, size: 0 }
    await stream?.prepare?.()
    const identity = stream?.chunks?.csum
    if (stream === undefined || identity === undefined) throw new UsageError('STORE does not name a disk image', { remedy: 'Give the store alone, or STORE::vm/100/TIME/drive-scsi0.img.' })
    const { source } = this.#source
    const place = source.kind === 'store' ? formatSelector(source.selector) : stream.name
    return { stream: this.#reader.over({ size, identity, image: place }, stream), start: 0, size }
  }

  async #toDevice(found: Found, content: Content, path: Buffer, format: Format): Promise<void> {
    const shown = escapeName(path)
    if (format !== 'raw') throw new UsageError(`${shown} is a block device: give --format raw`)
    if (!this.#args.overwrite) throw new UsageError(`${shown} is a block device; its first ${content.size} bytes would be overwritten: give --overwrite if that is meant`)
    this.#wroteDevice = true
    const view = { content: () => Promise.resolve(content) }
    await restoreDevice(view, found, path, { signal: this.#interruption.signal, onBytes: this.#counter(content.size) })
  }

  async #toFile(content: Content, path: Buffer, format: Format): Promise<void> {
    const shown = escapeName(path)
    if (await isPartOfOverlay(path)) throw new UsageError(`${shown} belongs to an overlay, which would be destroyed`, { remedy: 'Choose another target.' })
    const kind = kindOfTarget(path)
    if (kind === 'folder' || kind === 'device' || kind === 'other') throw new UsageError(`${shown} is there already, and is no file`, { remedy: 'Choose another target.' })
    if (kind === 'file' && !this.#args.overwrite) throw isThere(shown)
    const { signal } = this.#interruption
    await writeDiskFile(parentOf(path), lastNameOf(path), this.#args.overwrite, async (unfinished) => {
      if (format === 'qcow2') await this.#convert(content, unfinished, shown)
      else await copyContent(unfinished.fd, content, { signal, path: shown, onBytes: this.#counter(content.size) })
      if (signal.aborted) throw new AbortedError('interrupted')
    })
  }

  /** qemu-img reads from a server that nobody else of this host gets at, so that no second copy is needed. */
  async #convert({ stream, start, size }: Content, unfinished: UnfinishedFile, shown: string): Promise<void> {
    let problem: unknown
    const server = await NbdServer.listen(unixAddress(ownNbdSocket()), {
      exports: new DiskTable([{ name: EXPORT, description: 'disk', content: () => Promise.resolve({ stream, start, size }) }]),
      log: silentLog,
      onProblem: (error) => (problem ??= error),
    })
    try {
      await convertToQcow2(nbdUri(server.address, EXPORT, undefined), unfinished, {
        signal: this.#interruption.signal,
        path: shown,
        onProgress: (share) => this.#show(share * size, size),
      })
    } catch (error) {
      // It says better than qemu-img what cannot be read.
      throw error instanceof AbortedError ? error : (problem ?? error)
    } finally {
      await server.close()
    }
  }

  #counter(total: number): (count: number) => void {
    let done = 0
    return (count) => this.#show((done += count), total)
  }

  #show(done: number, total: number): void {
    this.#progress.update({ label: 'writing', done, total, bytes: done, counts: () => `${formatSize(done)} of ${formatSize(total)}` })
  }

  #explain(error: unknown): unknown {
    if (error instanceof AbortedError && this.#interruption.signal.aborted) {
      return new AbortedError(`interrupted; ${this.#wroteDevice ? 'the device is partly written' : 'no disk was made'}, and the overlay is as it was`)
    }
    const code = error instanceof PbsfsError ? error.fields['code'] : undefined
    return code === 'ENOSPC' || code === 'EDQUOT' ? replaceFields(error, { remedy: 'Free space there, or choose another target. The overlay is as it was.' }) : error
  }

  #report(path: Buffer, format: Format, size: number): void {
    this.#progress.end()
    const { output } = this.#context
    const seconds = (performance.now() - this.#since) / 1000
    const image = escapeText(this.#reader.header.image)
    const overlay = escapeName(this.#path)
    if (this.#args.json) {
      const document = { version: OVERLAY_VERSION, overlay, image: this.#reader.header.image, target: escapeName(path), format, size, seconds }
      output.out(JSON.stringify(document, null, 2) + '\n')
      return
    }
    const time = seconds < 10 ? `${seconds.toFixed(1)}s` : formatDuration(seconds)
    output.out(`wrote ${escapeName(path)} (${format}, ${formatSize(size)}): ${image} with what ${overlay} has of it, in ${time}\n`)
    output.err(`the overlay is still there; pbsfs overlay drop removes it\n`)
  }
}

/** Of the disk in a folder. */
function nameIn(found: Found, format: Format): Buffer {
  return format === 'raw' ? found.name : Buffer.from(found.name.toString('latin1').replace(/\.img$/, '') + '.qcow2', 'latin1')
}

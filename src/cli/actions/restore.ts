import { statfsSync } from 'node:fs'
import { isDirectory, isRegular, type Found } from '../../browse/tree-view.js'
import { escapeName, escapeText } from '../../bytes/names.js'
import { joinBytes, lastNameOf, parentOf } from '../../bytes/paths.js'
import { AbortedError, isPbsfsError, messageOf, UsageError } from '../../errors/errors.js'
import { isDamage } from '../../errors/is-damage.js'
import { countTree, type TreeCount } from '../../restore/count-tree.js'
import { refuseInsideStore } from '../../posix/outside-stores.js'
import { kindOfTarget, openTarget, type OpenTarget } from '../../restore/open-target.js'
import { PathSelection } from '../../restore/path-selection.js'
import { refuseFileInUse } from '../../restore/refuse-in-use.js'
import { restoreDevice, verifyDevice } from '../../restore/restore-device.js'
import { countEntries, emptySummary, type RestoreOptions, type RestoreProgress, type RestoreSummary } from '../../restore/restore-options.js'
import { recordFolder, RestoreRecords } from '../../restore/restore-record.js'
import { restoreEntry, restoreTree } from '../../restore/restore-tree.js'
import { verifyEntry, verifyTree, type VerifySummary } from '../../restore/verify-tree.js'
import type { ResolvedSource } from '../../source/resolve-source.js'
import { absolutePath } from '../absolute-path.js'
import type { CommandContext } from '../context.js'
import { EXIT, exitCodeOf, type ExitCode } from '../exit-codes.js'
import { formatRestore, restoreDocument } from '../format-restore.js'
import { Interruption } from '../interruption.js'
import { findTarget, withSource, type OpenSource } from '../open-source.js'
import { stream } from '../output.js'
import { formatSize } from '../parse-size.js'
import { Progress } from '../progress.js'
import { argToBytes, bytesToArg } from '../raw-args.js'
import type { RestoreArguments } from '../restore-arguments.js'
import { vendorPlaceText } from '../source-text.js'

/** What an entry costs beside its bytes, as bytes that take as long. */
const ENTRY_BYTES = 16 * 1024

/** `pbsfs restore`: copies a tree, a file or an image to where the user wants it. */
export async function restore(given: RestoreArguments, context: CommandContext): Promise<number> {
  const args = given.more === undefined ? given : fromVendorForm(given, given.more, context)
  if (args.target === '') throw new UsageError('the target is missing; for a file on standard output there is pbsfs cat')
  const target = absolutePath(argToBytes(args.target))
  refuseInsideStore(target)
  if (args.live && args.changed) throw new UsageError('either --live or --changed')
  if (!args.live && (args.socket ?? args.rate) !== undefined) throw new UsageError('--socket and --rate belong to --live')
  if (args.since !== undefined && !args.changed) throw new UsageError('--since belongs to --changed')
  return withSource(args, context, async (source) => {
    if (args.live) return (await import('./restore-live.js')).restoreLive(args, context, source, target)
    if (args.changed) return (await import('./restore-changed.js')).restoreChangedOnly(args, context, source, target)
    const run = new RestoreRun(args, context, source)
    try {
      return await run.start(await findTarget(source, undefined), target)
    } finally {
      run.end()
    }
  })
}

class RestoreRun {
  readonly #args: RestoreArguments
  readonly #context: CommandContext
  readonly #source: OpenSource
  readonly #interruption = new Interruption()
  readonly #progress = new Progress()
  readonly #since = performance.now()
  readonly #selection: PathSelection
  #worst: ExitCode = EXIT.ok
  #count: TreeCount | undefined
  #label = 'restoring'

  constructor(args: RestoreArguments, context: CommandContext, source: OpenSource) {
    this.#args = args
    this.#context = context
    this.#source = source
    this.#selection = new PathSelection(args.patterns.map(argToBytes), args.excludes.map(argToBytes))
  }

  async start(found: Found, target: Buffer): Promise<ExitCode> {
    try {
      if (isDirectory(found)) return await this.#tree(found, target)
      if (!this.#selection.isAll) throw new UsageError('--pattern and --exclude choose from a folder; SOURCE is one file')
      const kind = kindOfTarget(target)
      if (kind === 'other') throw new UsageError(`${escapeName(target)} is neither a file, a folder nor a block device; pbsfs cat writes to pipes`)
      if (kind === 'device') return await this.#device(found, target)
      return kind === 'folder' ? await this.#entry(found, target, found.name) : await this.#entry(found, parentOf(target), lastNameOf(target))
    } catch (error) {
      if (!(error instanceof AbortedError) || !this.#interruption.signal.aborted) throw error
      throw new AbortedError('interrupted; what is complete is in its place, and the same command goes on from there')
    }
  }

  end(): void {
    this.#progress.end()
    this.#interruption.end()
  }

  async #tree(root: Found, path: Buffer): Promise<ExitCode> {
    const { view } = this.#source
    this.#count = await countTree(view, root, this.#selection, this.#interruption.signal)
    if (this.#count?.entries === 0 && !this.#selection.isAll) throw this.#noMatch()
    const target = openTarget(path, this.#args.dryRun)
    try {
      const options = this.#options(this.#mayReplace(target))
      this.#warnOfSpace(target)
      const summary = await restoreTree(view, root, target, options)
      if (!this.#selection.isAll && summary.kept + summary.conflicts + summary.failed + countEntries(summary) === 0) throw this.#noMatch()
      const verified = this.#args.verify && !this.#args.dryRun ? await this.#verify(() => verifyTree(view, root, target.fd, options)) : undefined
      return this.#report(summary, verified, path)
    } finally {
      target.close()
    }
  }

  #noMatch(): UsageError {
    const patterns = [...this.#args.patterns, ...this.#args.excludes].map((pattern) => escapeName(argToBytes(pattern))).join(', ')
    return new UsageError(`nothing in the backup is chosen by ${patterns}`, { remedy: "pbsfs find SOURCE -name '...' shows what is there." })
  }

  async #entry(found: Found, folder: Buffer, name: Buffer): Promise<ExitCode> {
    const { view } = this.#source
    if (kindOfTarget(folder) !== 'folder') throw new UsageError(`${escapeName(folder)}: the folder does not exist`, { remedy: 'Make it first, or choose another target.' })
    const named = { ...found, name, attr: { ...found.attr } }
    // A blob tells its size when it is opened.
    if (isRegular(found)) named.attr.size = (await view.content(found)).size
    this.#count = { entries: 1, bytes: named.attr.size }
    if (this.#args.overwrite && !this.#args.dryRun) refuseFileInUse(joinBytes(folder, name))
    const target = openTarget(folder, this.#args.dryRun, 'shared')
    try {
      const options = this.#options(this.#args.overwrite)
      const summary = await restoreEntry(view, named, target, options)
      const verified = this.#args.verify && !this.#args.dryRun ? await this.#verify(() => verifyEntry(view, named, target.fd, options)) : undefined
      return this.#report(summary, verified, joinBytes(folder, name))
    } finally {
      target.close()
    }
  }

  async #device(found: Found, path: Buffer): Promise<ExitCode> {
    const { view } = this.#source
    const { size } = await view.content(found)
    if (this.#args.dryRun || !this.#args.overwrite) {
      const text = `${escapeName(path)} is a block device; its first ${size} bytes would be overwritten`
      if (!this.#args.dryRun) throw new UsageError(`${text}: give --overwrite if that is meant`)
      this.#context.output.out(`${text}\n`)
      return EXIT.ok
    }
    this.#count = { entries: 1, bytes: size }
    const progress: RestoreProgress = { entries: 1, bytes: 0, position: 0, streamSize: size, path: found.name }
    const { signal } = this.#interruption
    const onBytes = (count: number): void => {
      progress.bytes += count
      this.#show(progress)
    }
    await restoreDevice(view, found, path, { signal, onBytes })
    const summary = emptySummary()
    summary.files = 1
    summary.bytes = size
    const verified = this.#args.verify ? await this.#verify(async () => {
      progress.bytes = 0
      const difference = await verifyDevice(view, found, path, { signal, onBytes })
      if (difference !== undefined) this.#problem(new Error(difference), found.name)
      return { files: 1, bytes: size, different: difference === undefined ? 0 : 1 }
    }) : undefined
    return this.#report(summary, verified, path)
  }

  #options(replace: boolean): RestoreOptions {
    const { ignoreOwnership, ignorePermissions, ignoreAcls, ignoreXattrs, dryRun, json } = this.#args
    return {
      replace, ignoreOwnership, ignorePermissions, ignoreAcls, ignoreXattrs, dryRun,
      selection: this.#selection,
      signal: this.#interruption.signal,
      onProblem: (error, path) => this.#problem(error, path),
      ...(dryRun && !json ? { onEntry: (path, what) => stream(this.#context.output, `${what.padEnd(8)} ${escapeName(path)}\n`) } : {}),
      onProgress: (progress) => this.#show(progress),
    } // prettier-ignore
  }

  /** What is there may be replaced in a folder that this very restore has begun. */
  #mayReplace(target: OpenTarget): boolean {
    const { overwrite, dryRun } = this.#args
    const records = new RestoreRecords(recordFolder(this.#context.env))
    const key = sourceKey(this.#source.source)
    const isOurs = target.identity !== '' && records.isKnown(target.path, target.identity, key)
    if (!dryRun && !isOurs && target.isEmpty && !records.add(target.path, target.identity, key)) {
      this.#context.output.err('pbsfs: it cannot be noted that this folder is restored here; to go on later, --overwrite will be needed\n')
    }
    return overwrite || isOurs
  }

  #warnOfSpace({ fd, path }: OpenTarget): void {
    if (this.#count === undefined || fd < 0) return
    const { bavail, bsize } = statfsSync(`/proc/self/fd/${fd}`)
    if (this.#count.bytes <= bavail * bsize) return
    const sizes = `${formatSize(this.#count.bytes)} are to be restored, ${formatSize(bavail * bsize)} are free`
    this.#context.output.err(`pbsfs: ${escapeName(path)}: ${sizes}; it fits only if much of it is holes, or is there already\n`)
  }

  async #verify(compare: () => Promise<VerifySummary>): Promise<VerifySummary> {
    this.#progress.end()
    this.#label = 'verifying'
    return compare()
  }

  #problem(error: unknown, path: Buffer): void {
    this.#progress.end()
    const code = isDamage(error) ? EXIT.damaged : isPbsfsError(error) ? exitCodeOf(error) : EXIT.failed
    if (this.#worst === EXIT.ok || code === EXIT.damaged) this.#worst = code
    const message = escapeText(messageOf(error))
    const place = path.length === 0 ? '' : escapeName(path)
    this.#context.output.err(`pbsfs: ${place === '' || message.startsWith(place) ? '' : `${place}: `}${message}\n`)
  }

  #show(progress: RestoreProgress): void {
    const { entries, bytes, position, streamSize, path } = progress
    const count = this.#count
    this.#progress.update({
      label: this.#label,
      done: count === undefined ? position : bytes + entries * ENTRY_BYTES,
      total: count === undefined ? streamSize : count.bytes + count.entries * ENTRY_BYTES,
      bytes,
      counts: () => `${count === undefined ? entries : `${entries} of ${count.entries}`} entries, ${formatSize(bytes)}`,
      current: () => escapeName(path),
    })
  }

  #report(summary: RestoreSummary, verified: VerifySummary | undefined, target: Buffer): ExitCode {
    this.#progress.end()
    const seconds = (performance.now() - this.#since) / 1000
    const { output } = this.#context
    const { json, dryRun } = this.#args
    if (json) output.out(JSON.stringify(restoreDocument(summary, verified, target, dryRun, seconds), null, 2) + '\n')
    else {
      const { lines, remarks } = formatRestore(summary, verified, target, dryRun, seconds)
      for (const line of lines) output.out(`${line}\n`)
      for (const remark of remarks) output.err(`pbsfs: ${remark}\n`)
    }
    const fromSource = this.#source.exitCode()
    return this.#worst === EXIT.ok ? fromSource : this.#worst
  }
}

/** SNAPSHOT ARCHIVE TARGET, as the vendor's client has it, in our form. */
function fromVendorForm(args: RestoreArguments, target: string, { env }: CommandContext): RestoreArguments {
  const missing = 'SNAPSHOT ARCHIVE TARGET needs --repository (or PBS_REPOSITORY): the path or name of the store'
  const source = vendorPlaceText({ snapshot: args.source, archive: args.target }, args, env, missing)
  return { ...args, source: bytesToArg(source), repository: undefined, ns: undefined, target, more: undefined }
}

/** The same for two runs that restore the same. */
function sourceKey(source: ResolvedSource): string {
  const text = (bytes: Uint8Array | string | undefined): string => (bytes === undefined ? '' : Buffer.from(bytes).toString('latin1'))
  if (source.kind === 'archive') return JSON.stringify([source.files.map((file) => text(file)), text(source.inside)])
  const { ns, type, id, time, archive, inside } = source.selector
  return JSON.stringify([text(source.path), ns, type, id, time, archive, text(inside)])
}

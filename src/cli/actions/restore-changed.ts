import { changedRanges, imageVersionOf, whyNotComparable } from '../../browse/diff-images.js'
import { isRegular, type Found } from '../../browse/tree-view.js'
import { escapeName } from '../../bytes/names.js'
import type { RangeList } from '../../bytes/range-list.js'
import { AbortedError, UsageError } from '../../errors/errors.js'
import { bytesToLookAt, restoreChanged, type ChangedSummary } from '../../restore/restore-changed.js'
import { verifyDevice } from '../../restore/restore-device.js'
import type { ResolvedSource } from '../../source/resolve-source.js'
import { parseSnapshotTime } from '../../source/snapshot-time.js'
import { LATEST } from '../../source/source-string.js'
import type { Content } from '../../tree/tree.js'
import type { CommandContext } from '../context.js'
import { EXIT, type ExitCode } from '../exit-codes.js'
import { RESTORE_VERSION } from '../format-restore.js'
import { Interruption } from '../interruption.js'
import { findTarget, withSource, type OpenSource } from '../open-source.js'
import { formatDuration, formatSize } from '../parse-size.js'
import { Progress } from '../progress.js'
import type { RestoreArguments } from '../restore-arguments.js'

/** `pbsfs restore --changed`: rolls a disk back to an image by writing only what differs. */
export async function restoreChangedOnly(args: RestoreArguments, context: CommandContext, source: OpenSource, target: Buffer): Promise<ExitCode> {
  const found = await findTarget(source, undefined)
  if (!isRegular(found)) throw new UsageError('--changed is for disk images: name one, as STORE::vm/100/latest/drive-scsi0.img')
  const content = await source.view.content(found)
  const differing = args.since === undefined ? undefined : await rangesSince(args, args.since, context, source, content)
  const interruption = new Interruption()
  const progress = new Progress()
  const since = performance.now()
  const total = bytesToLookAt(content, differing)
  const count = (label: string): ((bytes: number) => void) => {
    let done = 0
    return (bytes) => {
      done += bytes
      progress.update({ label, done, total, bytes: done, counts: () => `${formatSize(done)} of ${formatSize(total)}` })
    }
  }
  const { signal } = interruption
  try {
    const summary = await restoreChanged(content, target, { differing, dryRun: args.dryRun, signal, onBytes: count(args.dryRun ? 'comparing' : 'restoring') })
    const difference = args.verify && !args.dryRun ? await verifyDevice(source.view, found, target, { signal, onBytes: count('verifying') }) : undefined
    progress.end()
    report(args, context, summary, difference, target, (performance.now() - since) / 1000)
    return difference === undefined ? source.exitCode() : EXIT.failed
  } catch (error) {
    if (!(error instanceof AbortedError) || !signal.aborted) throw error
    throw new AbortedError(`interrupted; ${escapeName(target)} is partly restored, and the same command without --since goes on from there`)
  } finally {
    progress.end()
    interruption.end()
  }
}

/** Where the image differs from the snapshot that the target is said to hold. */
async function rangesSince(args: RestoreArguments, since: string, context: CommandContext, { source }: OpenSource, content: Content): Promise<RangeList> {
  const archive = source.kind === 'store' ? source.selector.archive : undefined
  const now = await imageVersionOf(content.stream)
  // A time alone is that of another snapshot of this disk.
  const isTime = since === LATEST || parseSnapshotTime(since) !== undefined
  const earlier = (own: ResolvedSource): ResolvedSource => (own.kind === 'store' ? { ...own, selector: { ...own.selector, time: since } } : own)
  const withArchive = (other: ResolvedSource): ResolvedSource => {
    if (other.kind !== 'store' || other.selector.time === undefined || other.selector.inside !== undefined) {
      throw new UsageError('--since: give a snapshot, or an image in one, as STORE::vm/100/2026-01-01T00:00:00Z')
    }
    return other.selector.archive !== undefined || archive === undefined ? other : { ...other, selector: { ...other.selector, archive } }
  }
  return withSource({ ...args, source: isTime ? args.source : since }, context, async (other) => {
    const before = await imageVersionOf((await other.view.content(await regularOf(other))).stream)
    const why = whyNotComparable(before, now)
    if (why !== undefined) throw new UsageError(`--since: what changed cannot be told: ${why}`, { remedy: 'Without --since everything is read and compared.' })
    return changedRanges(before, now)
  }, isTime ? earlier : withArchive)
}

async function regularOf(source: OpenSource): Promise<Found> {
  const found = await findTarget(source, undefined)
  if (!isRegular(found)) throw new UsageError('--since: that is no disk image')
  return found
}

function report({ dryRun, json }: RestoreArguments, { output }: CommandContext, summary: ChangedSummary, difference: string | undefined, target: Buffer, seconds: number): void {
  const { size, targetSize, changed } = summary
  const shown = escapeName(target)
  if (json) {
    const document = { version: RESTORE_VERSION, target: shown, dryRun, seconds, size, targetSize, changedBytes: changed, difference: difference ?? null }
    output.out(JSON.stringify(document, null, 2) + '\n')
    return
  }
  const time = seconds < 10 ? `${seconds.toFixed(1)}s` : formatDuration(seconds)
  output.out(`${dryRun ? 'would restore' : 'restored'} ${formatSize(changed)} of ${formatSize(size)} to ${shown}${dryRun ? '' : ` in ${time}`}\n`)
  if (targetSize > size) output.err(`pbsfs: ${shown} is ${formatSize(targetSize - size)} larger than the image; what is behind its end is left alone\n`)
  if (difference !== undefined) output.err(`pbsfs: ${shown}: ${difference}\n`)
}

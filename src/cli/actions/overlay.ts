import { escapeName, escapeText } from '../../bytes/names.js'
import { messageOf, PbsfsError, UsageError } from '../../errors/errors.js'
import { dropOverlay, type DroppedOverlay } from '../../overlay/drop-overlay.js'
import { findOverlays, inspectOverlay, isFolder, type OverlayStatus } from '../../overlay/overlay-status.js'
import { overlayPathOf } from '../../overlay/read-overlay.js'
import { absolutePath } from '../absolute-path.js'
import { paintHead } from '../colors.js'
import type { CommandContext } from '../context.js'
import { describeError } from '../describe-error.js'
import { EXIT, exitCodeOf, type ExitCode } from '../exit-codes.js'
import { formatSize } from '../parse-size.js'
import { argToBytes } from '../raw-args.js'
import type { StoreArguments } from '../store-options.js'
import { formatTable } from '../table.js'

export interface OverlayArguments extends StoreArguments {
  readonly operands: readonly string[]
  readonly format: 'raw' | 'qcow2' | undefined
  readonly overwrite: boolean
  readonly json: boolean
}

/** Of the documents of `overlay --json`. */
export const OVERLAY_VERSION = 1

interface Failed {
  readonly path: Buffer
  readonly error: unknown
}

/** `pbsfs overlay status|drop`: what is wrong with one does not keep the others from it. */
export async function overlay(action: 'status' | 'drop', { operands, format, overwrite, json }: OverlayArguments, context: CommandContext): Promise<ExitCode> {
  if (operands.length === 0) throw new UsageError(action === 'status' ? 'overlay status FILE|FOLDER...' : 'overlay drop FILE...')
  if (format !== undefined || overwrite) throw new UsageError('--format and --overwrite belong to overlay commit')
  if (operands.includes('')) throw new UsageError('the name of an overlay is empty')
  const paths = operands.map((operand) => absolutePath(argToBytes(operand)))
  return action === 'status' ? showStatus(paths, json, context) : drop(paths, json, context)
}

async function showStatus(paths: readonly Buffer[], json: boolean, { output }: CommandContext): Promise<ExitCode> {
  const found: OverlayStatus[] = []
  const failed: Failed[] = []
  for (const path of paths) {
    const inFolder = isFolder(path)
    let candidates: readonly Buffer[]
    try {
      candidates = inFolder ? findOverlays(path) : [overlayPathOf(path)]
    } catch (error) {
      failed.push(failureOf(path, error))
      continue
    }
    for (const candidate of candidates) {
      try {
        found.push(await inspectOverlay(candidate))
      } catch (error) {
        // Other files of that ending may be there as well.
        if (!(inFolder && error instanceof UsageError)) failed.push(failureOf(candidate, error))
      }
    }
  }
  if (json) {
    const document = { version: OVERLAY_VERSION, overlays: found.map(statusDocument), problems: failed.map(problemDocument) }
    output.out(JSON.stringify(document, null, 2) + '\n')
  } else if (found.length > 0) output.out(paintHead(formatTable([['OVERLAY', 'IMAGE', 'SIZE', 'WRITTEN', 'STATE'], ...found.map(statusRow)]), output.colors))
  else if (failed.length === 0) output.out('no overlays here\n')
  return tellFailed(failed, json, output)
}

function statusRow({ path, image, size, bytesWritten, ...rest }: OverlayStatus): string[] {
  return [escapeName(path), escapeText(image), formatSize(size), formatSize(bytesWritten), stateOf(rest)]
}

function stateOf({ purpose, bytesUnsafe, isSameBoot, inUse, holder }: Omit<OverlayStatus, 'path' | 'image' | 'size' | 'bytesWritten'>): string {
  const use = inUse ? `in use${holder === undefined ? '' : ` by process ${holder}`}` : 'not in use'
  const amount = formatSize(bytesUnsafe)
  const safety = bytesUnsafe === 0 ? 'clean' : isSameBoot ? `${amount} not flushed` : `${amount} lost when this host went down, which were not flushed`
  return [use, safety, ...(purpose === 'restore' ? ['a restore --live that is not complete'] : [])].join(', ')
}

function statusDocument({ path, image, purpose, size, bytesWritten, bytesUnsafe, isSameBoot, inUse, holder }: OverlayStatus): object {
  const [notFlushed, lost] = isSameBoot ? [bytesUnsafe, 0] : [0, bytesUnsafe]
  return { path: escapeName(path), image, purpose, size, bytesWritten, bytesNotFlushed: notFlushed, bytesLost: lost, clean: bytesUnsafe === 0, inUse, holder: holder ?? null }
}

async function drop(paths: readonly Buffer[], json: boolean, { output }: CommandContext): Promise<ExitCode> {
  const dropped: DroppedOverlay[] = []
  const failed: Failed[] = []
  for (const given of paths) {
    try {
      if (isFolder(given)) throw new UsageError(`${escapeName(given)} is a folder`, { remedy: 'Name each overlay; pbsfs overlay status lists those in it.' })
      const one = await dropOverlay(overlayPathOf(given))
      dropped.push(one)
      if (!json) output.out(`dropped ${escapeName(one.path)} of ${escapeText(one.image)}${one.bytesWritten === undefined ? '' : `; ${formatSize(one.bytesWritten)} had been written`}\n`)
    } catch (error) {
      failed.push(failureOf(given, error))
    }
  }
  if (json) {
    const rows = dropped.map(({ path, image, bytesWritten }) => ({ path: escapeName(path), image, bytesWritten: bytesWritten ?? null }))
    output.out(JSON.stringify({ version: OVERLAY_VERSION, dropped: rows, problems: failed.map(problemDocument) }, null, 2) + '\n')
  }
  return tellFailed(failed, json, output)
}

/** What is no error of ours is a bug, and ends the command. */
function failureOf(path: Buffer, error: unknown): Failed {
  if (!(error instanceof PbsfsError)) throw error
  return { path, error }
}

function problemDocument({ path, error }: Failed): object {
  return { path: escapeName(path), error: messageOf(error) }
}

function tellFailed(failed: readonly Failed[], json: boolean, output: CommandContext['output']): ExitCode {
  for (const { error } of json ? [] : failed) output.err(`pbsfs: ${describeError(error)}\n`)
  return failed.length === 0 ? EXIT.ok : exitCodeOf(failed[0]!.error)
}

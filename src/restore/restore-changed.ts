import { closeSync, constants, fstatSync, fsyncSync, openSync } from 'node:fs'
import { FINE_BLOCK } from '../browse/compare-contents.js'
import { asBuffer, escapeName } from '../bytes/names.js'
import { RangeList } from '../bytes/range-list.js'
import { AbortedError, BusyError, UsageError } from '../errors/errors.js'
import { files } from '../posix/files.js'
import type { Content } from '../tree/tree.js'
import { readFrom } from './compare-content.js'
import { refuseInUse } from './refuse-in-use.js'
import { writeZeros } from './restore-device.js'
import { targetError } from './target-error.js'
import { writeSparse } from './write-content.js'

/** Bytes compared or written at a time, at multiples of it, and how many such pieces are loaded at once. */
const PIECE = 4 * 1024 * 1024
const PIECES_AHEAD = 4

/** Bytes that are compared, at so many places, before a target that is not read is written to. */
const SAMPLE = 64 * 1024
const SAMPLES = 16

export interface ChangedOptions {
  /**
   * Where the target differs, known from elsewhere: exactly this is written, and the target is not read, but for a few
   * places that must be as in the image already. undefined: all of it is read, and the blocks of 4 KiB that differ are
   * written.
   */
  readonly differing: RangeList | undefined
  /** Writes nothing. */
  readonly dryRun: boolean
  /** Ends the work between two pieces, with AbortedError; what was written stays, and the same call goes on from there. */
  readonly signal: AbortSignal
  /** Bytes of the image that were looked at. */
  readonly onBytes: (count: number) => void
}

export interface ChangedSummary {
  /** Bytes of the image, and of the target, which may be larger: the rest of it is left alone. */
  readonly size: number
  readonly targetSize: number
  /** Bytes that differ: written, or in a dry run to be written. */
  readonly changed: number
}

/** How many bytes `restoreChanged` has to look at. */
export function bytesToLookAt(content: Content, differing: RangeList | undefined): number {
  return differing === undefined ? content.size : differing.clip(content.size).bytes
}

/**
 * Makes a block device or file the same as an image by writing only what differs. Nothing is written when the target is
 * smaller (UsageError), mounted, in use otherwise, locked or behind a loop device (BusyError). On the disk when it resolves.
 */
export async function restoreChanged(content: Content, path: Buffer, options: ChangedOptions): Promise<ChangedSummary> {
  const target = openToChange(path, content.size, options.dryRun)
  try {
    await content.stream.prepare?.()
    if (options.differing !== undefined) await checkSamples(content, target, options.differing)
    const changed = await changeAll(content, target, options)
    if (!options.dryRun) flush(target)
    return { size: content.size, targetSize: target.size, changed }
  } finally {
    closeSync(target.fd)
  }
}

interface Target {
  readonly fd: number
  readonly size: number
  /** Safe to print. */
  readonly shown: string
}

function openToChange(path: Buffer, size: number, dryRun: boolean): Target {
  const shown = escapeName(path)
  const fd = openTarget(path, shown, dryRun)
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile() && !stat.isBlockDevice()) throw new UsageError(`${shown} is neither a block device nor a file that can be compared with an image`)
    const targetSize = stat.isFile() ? stat.size : files().seekEnd(fd)
    if (targetSize < size) throw new UsageError(`${shown} has ${targetSize} bytes, the image ${size}; nothing was written`, { remedy: 'Make it as large as the image first.' })
    if (!dryRun) refuseInUse(fd, stat, shown)
    return { fd, size: targetSize, shown }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function openTarget(path: Buffer, shown: string, dryRun: boolean): number {
  try {
    // For a device, O_EXCL without O_CREAT means: unless somebody uses it. For a file it means nothing. O_NONBLOCK: no waiting for a fifo.
    return openSync(path, (dryRun ? constants.O_RDONLY : constants.O_RDWR | constants.O_EXCL) | constants.O_NONBLOCK)
  } catch (error) {
    const { code, errno } = error as NodeJS.ErrnoException
    if (code === 'EBUSY') throw new BusyError(`${shown} is mounted or in use; nothing was written`, { path: shown })
    if (code === 'ENOENT') throw new UsageError(`${shown} is not there; without --changed it is made`)
    throw targetError('open', shown, errno ?? -5)
  }
}

/** A target that was mixed up, or written to since, shows where it should be the same. UsageError. */
async function checkSamples({ stream, start, size }: Content, { fd, shown }: Target, differing: RangeList): Promise<void> {
  const same = differing.complement(size)
  const step = same.bytes / SAMPLES
  let [passed, next] = [0, 0]
  for (const { offset, length } of same) {
    for (; next < passed + length; next += step) {
      const at = offset + Math.floor(next - passed)
      const bytes = Math.min(SAMPLE, offset + length - at)
      const [wanted, present] = await Promise.all([stream.read(start + at, bytes), readFrom(fd, bytes, at, shown)])
      if (present.equals(wanted)) continue
      const remedy = 'Without --since everything is read and compared.'
      throw new UsageError(`${shown} does not hold what it is said to hold: it differs at ${at}; nothing was written`, { remedy })
    }
    passed += length
  }
}

interface Piece {
  readonly offset: number
  readonly length: number
  /** undefined: zeros, known without reading. */
  readonly wanted: Promise<Uint8Array> | undefined
  /** What the target has; undefined: it is not asked. */
  readonly present: Promise<Buffer> | undefined
}

async function changeAll(content: Content, target: Target, { differing, dryRun, signal, onBytes }: ChangedOptions): Promise<number> {
  if (dryRun && differing !== undefined) return differing.clip(content.size).bytes
  let changed = 0
  const waiting: Piece[] = []
  const finish = async (): Promise<void> => {
    if (signal.aborted) throw new AbortedError('interrupted')
    const piece = waiting.shift()!
    changed += await changePiece(piece, target, dryRun)
    onBytes(piece.length)
  }
  try {
    for (const piece of piecesOf(content, target, differing)) {
      waiting.push(piece)
      if (waiting.length >= PIECES_AHEAD) await finish()
    }
    while (waiting.length > 0) await finish()
  } finally {
    // The descriptor must not be closed under a read.
    await Promise.allSettled(waiting.flatMap(({ present }) => present ?? []))
  }
  return changed
}

/** Begins to load each piece when it is asked for. */
function* piecesOf({ stream, start, size }: Content, { fd, shown }: Target, differing: RangeList | undefined): Generator<Piece> {
  const all = new RangeList()
  all.add(0, size)
  for (const range of (differing ?? all).clip(size)) {
    const last = range.offset + range.length
    for (let offset = range.offset; offset < last; ) {
      const end = Math.min(last, (Math.floor(offset / PIECE) + 1) * PIECE)
      const data = Math.min(end, (stream.nextData?.(start + offset) ?? start + offset) - start)
      const length = (data > offset ? data : end) - offset
      const wanted = data > offset ? undefined : stream.read(start + offset, length)
      const present = differing === undefined ? readFrom(fd, length, offset, shown) : undefined
      // Waited for in its turn.
      wanted?.catch(() => undefined)
      present?.catch(() => undefined)
      yield { offset, length, wanted, present }
      offset += length
    }
  }
}

/** Writes what differs; how many bytes that is. */
async function changePiece(piece: Piece, target: Target, dryRun: boolean): Promise<number> {
  const wanted = piece.wanted === undefined ? Buffer.alloc(piece.length) : asBuffer(await piece.wanted)
  const present = await piece.present
  if (present !== undefined && present.length < wanted.length) {
    throw new UsageError(`${target.shown} became shorter while it was read; nothing is written behind its end`)
  }
  if (present?.equals(wanted) === true) return 0
  let changed = 0
  for (let from = 0; from < wanted.length; ) {
    const to = present === undefined ? wanted.length : endOfRun(wanted, present, from, false)
    if (to > from) {
      changed += to - from
      if (!dryRun) await writeSparse(target.fd, wanted.subarray(from, to), piece.offset + from, target.shown, async (fd, offset, length) => writeZeros(fd, offset, length, target.shown))
    }
    from = present === undefined ? to : endOfRun(wanted, present, to, true)
  }
  return changed
}

/** Where the blocks from `at` on end that are all the same in both (`same`), or all are not. */
function endOfRun(wanted: Buffer, present: Buffer, at: number, same: boolean): number {
  let end = at
  while (end < wanted.length) {
    const next = Math.min(end + FINE_BLOCK, wanted.length)
    if ((wanted.compare(present, end, next, end, next) === 0) !== same) break
    end = next
  }
  return end
}

function flush({ fd, shown }: Target): void {
  try {
    fsyncSync(fd)
  } catch (error) {
    throw targetError('write', shown, (error as NodeJS.ErrnoException).errno ?? -5)
  }
}

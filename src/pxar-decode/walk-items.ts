import { peekSize, viewOf } from '../bytes/le.js'
import type { PxarArchive } from './archive.js'
import { cutOff, damage } from './damage.js'
import { HEADER_SIZE, itemOf } from './format.js'
import { TimeSlice } from './time-slice.js'

export interface WalkOptions {
  readonly signal?: AbortSignal
  /** Longest work without giving the event loop a turn, in milliseconds. */
  readonly sliceMs?: number
  /** Asked before each piece is read, with the bytes the stream has to decode for it, about. */
  readonly pace?: (bytes: number) => Promise<void> | undefined
}

/**
 * Called with each item: its kind, offset and size, and `view` with its header and `HEAD_EXTRA`
 * bytes of content (fewer at the end of the stream) at `at`. False ends the walk.
 */
export type VisitItem = (item: number, pos: number, size: number, view: DataView, at: number) => boolean

const KiB = 1024
const MIN_WINDOW = 4 * KiB
const MAX_WINDOW = 1024 * KiB
/** A piece of the stream that is decoded as a whole, on average. */
const CHUNK = 4096 * KiB
const SLICE_MS = 1
/** Items between two looks at the clock. */
const CLOCK_STEP = 512
/** Bytes behind a header that a visitor can count on. */
export const HEAD_EXTRA = 8
const HEAD = HEADER_SIZE + HEAD_EXTRA

/**
 * Visits the items of the metadata stream one behind the other, by their sizes; contents in a
 * classic archive are stepped over, not read. Rejects on damage that breaks the chain, and with AbortedError.
 */
export async function walkItems(archive: PxarArchive, visit: VisitItem, options: WalkOptions = {}): Promise<void> {
  const { meta } = archive
  const slice = new TimeSlice(options.sliceMs ?? SLICE_MS, options.signal)
  slice.check()
  let windowSize = 16 * MIN_WINDOW
  let view: DataView = new DataView(new ArrayBuffer(0))
  let base = 0
  let have = 0
  let peeked = false
  let steps = 0
  let pos = archive.rootEntryOfs
  while (pos < meta.size) {
    if (pos + HEADER_SIZE > meta.size) throw cutOff(meta.name, pos, 'item', pos + HEADER_SIZE, meta.size)
    if (Math.min(pos + HEAD, meta.size) > have) {
      // Items one behind the other: larger and larger pieces. After a leap over content: a small one.
      windowSize = pos - have <= MIN_WINDOW ? Math.min(MAX_WINDOW, windowSize * 2) : MIN_WINDOW
      const length = Math.min(windowSize, meta.size - pos)
      const wait = options.pace?.(Math.min(pos + length - have, CHUNK))
      if (wait !== undefined) await wait
      const bytes = meta.peek(pos, length)
      peeked = bytes !== undefined
      view = viewOf(bytes ?? (await meta.read(pos, length)))
      slice.check()
      base = pos
      have = pos + length
    }
    const at = pos - base
    const item = itemOf(view.getInt32(at, true), view.getInt32(at + 4, true))
    const size = peekSize(view, at + 8)
    if (size < HEADER_SIZE) throw damage(meta.name, pos, item, `size ${size}`, 'at least 16', size)
    if (pos + size > meta.size) throw cutOff(meta.name, pos, item, pos + size, meta.size)
    if (!visit(item, pos, size, view, at)) return
    pos += size
    if (++steps % CLOCK_STEP === 0 && (await slice.pause()) && peeked) {
      base = 0
      have = pos
    }
  }
}

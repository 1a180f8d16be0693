import type { RangeList } from '../bytes/range-list.js'
import type { ReadAt } from '../bytes/read-at.js'
import { asBuffer } from '../bytes/names.js'
import { isDamage } from '../errors/is-damage.js'

/** Contents are told apart in blocks of this size, at multiples of it. */
export const FINE_BLOCK = 4096

/** Bytes compared at a time when the images are not cut into chunks of one size. */
const PIECE = 4 * 1024 * 1024

/** Memory for what was read of both images and not compared yet, and the fewest pieces under way. */
const MAX_WAITING = 96 * 1024 * 1024
const MIN_AHEAD = 2
const MAX_AHEAD = 8

export interface CompareSettings {
  /** Hears of `[start, end)` that differs, ascending, each apart from the one before. */
  readonly onRange: (start: number, end: number) => void
  /** Hears how many bytes of the candidates have been looked at. */
  readonly onProgress?: (done: number) => void
  /** Hears of bytes that are lost in one of the images; they are told as different. */
  readonly onLost: (error: unknown) => void
}

interface Piece {
  readonly offset: number
  readonly end: number
}

/**
 * Compares the bytes of two images where `candidates` says that they may differ, and tells the blocks that do. What
 * only the larger image has, differs. Holes are not read; several pieces are loaded at once, in bounded memory.
 */
export async function compareContents(before: ReadAt, after: ReadAt, candidates: RangeList, settings: CompareSettings): Promise<void> {
  const found = new Joined(settings.onRange)
  const common = Math.min(before.size, after.size)
  const size = pieceSize(before, after)
  const ahead = Math.max(MIN_AHEAD, Math.min(MAX_AHEAD, Math.floor(MAX_WAITING / (2 * size))))
  const waiting: { readonly piece: Piece; readonly bytes: Promise<readonly [Buffer, Buffer]> }[] = []
  let passed = 0
  const finish = async (): Promise<void> => {
    const { piece, bytes } = waiting.shift()!
    try {
      const [left, right] = await bytes
      addDifferentBlocks(left, right, piece.offset, found)
    } catch (error) {
      if (!isDamage(error)) throw error
      settings.onLost(error)
      found.add(piece.offset, piece.end)
    }
    passed += piece.end - piece.offset
    settings.onProgress?.(passed)
  }
  for (const { offset, length } of candidates) {
    const end = Math.min(offset + length, common)
    for (let at = offset; at < end; ) {
      const data = Math.min(end, alignDown(Math.min(nextData(before, at), nextData(after, at))))
      if (data > at) {
        passed += data - at
        at = data
        continue
      }
      const piece = { offset: at, end: Math.min(end, (Math.floor(at / size) + 1) * size) }
      const bytes = readBoth(before, after, piece)
      // Waited for in its turn.
      bytes.catch(() => undefined)
      waiting.push({ piece, bytes })
      at = piece.end
      if (waiting.length >= ahead) await finish()
    }
    if (offset + length > common) {
      while (waiting.length > 0) await finish()
      found.add(Math.max(offset, common), offset + length)
      passed += offset + length - Math.max(offset, common)
    }
  }
  while (waiting.length > 0) await finish()
  settings.onProgress?.(passed)
  found.end()
}

/** One chunk of the image with the larger ones. */
function pieceSize(before: ReadAt, after: ReadAt): number {
  return Math.max(before.chunks?.chunkSize ?? PIECE, after.chunks?.chunkSize ?? PIECE)
}

function nextData(stream: ReadAt, at: number): number {
  return stream.nextData?.(at) ?? at
}

function alignDown(at: number): number {
  return Math.floor(at / FINE_BLOCK) * FINE_BLOCK
}

async function readBoth(before: ReadAt, after: ReadAt, { offset, end }: Piece): Promise<readonly [Buffer, Buffer]> {
  const [left, right] = await Promise.all([before.read(offset, end - offset), after.read(offset, end - offset)])
  return [asBuffer(left), asBuffer(right)]
}

function addDifferentBlocks(left: Buffer, right: Buffer, offset: number, found: Joined): void {
  if (left.equals(right)) return
  for (let at = 0; at < left.length; ) {
    // A piece may begin inside of a block.
    const end = Math.min(left.length, alignDown(offset + at) + FINE_BLOCK - offset)
    if (left.compare(right, at, end, at, end) !== 0) found.add(offset + at, offset + end)
    at = end
  }
}

/** Makes one range of those that touch. */
class Joined {
  readonly #tell: (start: number, end: number) => void
  #start = 0
  #end = 0

  constructor(tell: (start: number, end: number) => void) {
    this.#tell = tell
  }

  add(start: number, end: number): void {
    if (start > this.#end || this.#end === 0) {
      this.end()
      this.#start = start
    }
    this.#end = end
  }

  end(): void {
    if (this.#end > this.#start) this.#tell(this.#start, this.#end)
    this.#start = this.#end
  }
}

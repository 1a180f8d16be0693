import { FormatError } from '../errors/errors.js'
import { hasBit, nextBlock } from './block-bits.js'
import type { BlockFile } from './block-file.js'
import { BOOT_ID_AT, decodeHeader, encodeBootId, encodeHeader, HEADER_SIZE, MAX_BLOCKS, type MapHeader } from './map-header.js'

type Range = readonly [from: number, to: number]

const NOTHING: Range = [0, 0]

/** One range that holds both. */
function joined(a: Range, b: Range): Range {
  if (a[0] === a[1]) return b
  return b[0] === b[1] ? a : [Math.min(a[0], b[0]), Math.max(a[1], b[1])]
}

/** A map that was looked at. */
export interface ReadMap {
  readonly map: BlockMap
  /** Blocks that were not made safe from a loss of power. */
  readonly unsafe: number
  /** False: the host was started anew since, and those blocks do not count. */
  readonly isSameBoot: boolean
}

/**
 * Which blocks of a disk are in its file, and not in the backup any more; kept in a file of its own that survives
 * a crash at any point. A bit, once set, stays set.
 *
 *     0                     header, see map-header.ts
 *     4096                  bits that are true whatever happened: their blocks were synced before
 *     4096 + n              bits that are true as long as the host has not lost its memory since they were written
 *
 * n: bytes of the bits, rounded up to 4096. Bit i of byte j is block 8j+i. Memory was lost when the boot id in the
 * header is another one than the host's now: then the second half may tell of blocks that never reached the disk.
 */
export class BlockMap {
  readonly header: MapHeader
  readonly #file: BlockFile
  readonly #bits: Uint8Array
  /** Bytes of the first half that lack something. */
  #behind: Range
  /** Bytes of the second half that do. */
  #unwritten: Range = NOTHING
  #writing: Promise<void> = Promise.resolve()
  #count: number
  #checkpoint: Promise<void> = Promise.resolve()

  private constructor(file: BlockFile, header: MapHeader, bits: Uint8Array, behind: Range) {
    this.#file = file
    this.header = header
    this.#bits = bits
    this.#behind = behind
    this.#count = countBits(bits)
  }

  /** A map without blocks, in an empty file. */
  static async create(file: BlockFile, header: MapHeader, bootId: string): Promise<BlockMap> {
    const bits = new Uint8Array(bytesFor(header))
    const mapBytes = HEADER_SIZE + 2 * paddedSize(bits.length)
    await file.write(encodeHeader(header, bootId, mapBytes), 0)
    await file.zero(HEADER_SIZE, mapBytes - HEADER_SIZE)
    // From here on a map that was cut off is shorter.
    if (mapBytes > HEADER_SIZE) await file.write(new Uint8Array(1), mapBytes - 1)
    await file.sync()
    return new BlockMap(file, header, bits, NOTHING)
  }

  /** FormatError when the file is no such map, or a damaged one. */
  static async open(file: BlockFile, name: string, bootId: string): Promise<BlockMap> {
    const { header, safe, recent, isSameBoot } = await loadBits(file, name, bootId)
    if (isSameBoot) return new BlockMap(file, header, recent, [0, recent.length])
    // The second half is nothing to go by until it is made anew; only then may the header say that it is.
    await file.write(safe, HEADER_SIZE + paddedSize(safe.length))
    await file.sync()
    await file.write(encodeBootId(bootId), BOOT_ID_AT)
    await file.sync()
    return new BlockMap(file, header, safe, NOTHING)
  }

  /** The same blocks as by `open`, in a map that is only looked at: nothing is written to the file. */
  static async read(file: BlockFile, name: string, bootId: string): Promise<ReadMap> {
    const { header, safe, recent, isSameBoot } = await loadBits(file, name, bootId)
    const unsafe = countBits(recent) - countBits(safe)
    return { map: new BlockMap(file, header, isSameBoot ? recent : safe, NOTHING), unsafe, isSameBoot }
  }

  /** Blocks that are in the file. */
  get count(): number {
    return this.#count
  }

  get blocks(): number {
    return blocksOf(this.header)
  }

  has(block: number): boolean {
    return hasBit(this.#bits, block)
  }

  /** The first block at or behind `block` that is, or is not, in the file; `blocks` when there is none. */
  next(block: number, inFile: boolean): number {
    return nextBlock(this.#bits, block, this.blocks, inFile)
  }

  /**
   * Blocks `[from, to)` are in the file. Resolves when a crash of this program cannot undo that any more; a loss of
   * power can, until `checkpoint`.
   */
  async add(from: number, to: number): Promise<void> {
    let first = -1
    for (let block = from; block < to; block++) {
      if (this.has(block)) continue
      this.#bits[block >> 3]! |= 1 << (block & 7)
      this.#count++
      if (first < 0) first = block
    }
    // What failed before is tried again: nobody is told that a block is there before its bit is.
    if (first < 0) return this.#isUnwritten(from >> 3, ((to - 1) >> 3) + 1) ? this.#writeBits() : undefined
    const [start, end] = [first >> 3, ((to - 1) >> 3) + 1]
    this.#behind = joined(this.#behind, [start, end])
    this.#unwritten = joined(this.#unwritten, [start, end])
    await this.#writeBits()
  }

  #isUnwritten(from: number, to: number): boolean {
    const [start, end] = this.#unwritten
    return start < to && from < end
  }

  /** One after the other: of two that write the same byte, the one that began first must not end last. */
  #writeBits(): Promise<void> {
    const before = this.#writing
    const next = before.then(async () => {
      const [from, to] = this.#unwritten
      if (to === from) return
      this.#unwritten = NOTHING
      try {
        await this.#file.write(this.#bits.slice(from, to), HEADER_SIZE + paddedSize(this.#bits.length) + from)
      } catch (error) {
        this.#unwritten = joined(this.#unwritten, [from, to])
        throw error
      }
    })
    this.#writing = next.catch(() => undefined)
    return next
  }

  /** Makes all blocks that are in the file now safe from a loss of power. `syncData` brings their bytes to the disk. */
  checkpoint(syncData: () => Promise<void>): Promise<void> {
    // Whoever asks while one is under way may have added blocks behind it, and must not be told before it is done.
    const before = this.#checkpoint
    const next = before.then(() => this.#save(syncData))
    this.#checkpoint = next.catch(() => undefined)
    return next
  }

  async #save(syncData: () => Promise<void>): Promise<void> {
    const [from, to] = this.#behind
    const bits = this.#bits.slice(from, to)
    this.#behind = NOTHING
    try {
      await syncData()
      if (to === from) return
      await this.#file.write(bits, HEADER_SIZE + from)
      await this.#file.sync()
    } catch (error) {
      this.#behind = joined(this.#behind, [from, to])
      throw error
    }
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

interface LoadedBits {
  readonly header: MapHeader
  readonly safe: Uint8Array
  /** Those that are safe among them. */
  readonly recent: Uint8Array
  readonly isSameBoot: boolean
}

async function loadBits(file: BlockFile, name: string, bootId: string): Promise<LoadedBits> {
  const head = Buffer.alloc(HEADER_SIZE)
  await file.read(head, 0)
  const { header, bootId: written, mapBytes } = decodeHeader(head, name)
  if (file.size !== undefined && file.size < mapBytes) {
    throw new FormatError(`${name}: the map of the disk is damaged: it is cut off`, { stream: name, expected: mapBytes, actual: file.size })
  }
  const length = bytesFor(header)
  const safe = new Uint8Array(length)
  await file.read(safe, HEADER_SIZE)
  checkTail(safe, header, name)
  const recent = new Uint8Array(length)
  await file.read(recent, HEADER_SIZE + paddedSize(length))
  // After a loss of power anything may be there.
  if (written === bootId) checkTail(recent, header, name)
  for (let i = 0; i < length; i++) recent[i]! |= safe[i]!
  return { header, safe, recent, isSameBoot: written === bootId }
}

export function blocksOf({ size, blockSize }: Pick<MapHeader, 'size' | 'blockSize'>): number {
  return Math.ceil(size / blockSize)
}

function bytesFor(header: MapHeader): number {
  const blocks = blocksOf(header)
  if (blocks > MAX_BLOCKS) throw new FormatError(`a disk of ${header.size} bytes has too many blocks`, { actual: blocks, expected: MAX_BLOCKS })
  return Math.ceil(blocks / 8)
}

function paddedSize(bytes: number): number {
  return Math.ceil(bytes / 4096) * 4096
}

/** Bits behind the last block were never set by us. */
function checkTail(bits: Uint8Array, header: MapHeader, name: string): void {
  const used = blocksOf(header) & 7
  if (used !== 0 && bits[bits.length - 1]! >> used !== 0) {
    throw new FormatError(`${name}: the map of blocks is damaged: it names blocks behind the end of the disk`, { stream: name })
  }
}

function countBits(bits: Uint8Array): number {
  let count = 0
  for (let byte of bits) for (; byte !== 0; byte &= byte - 1) count++
  return count
}

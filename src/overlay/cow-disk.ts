import type { ReadAt } from '../bytes/read-at.js'
import { NodeError } from '../errors/errors.js'
import { clearBits, hasBit, nextBlock, setBits } from './block-bits.js'
import type { BlockFile } from './block-file.js'
import type { BlockMap } from './block-map.js'
import { RangeLock } from './range-lock.js'

/**
 * A disk whose blocks are in a file as far as they were written or copied, and in a backup else. The backup is
 * never written to. What was written once is never taken from the backup again, and never overwritten by a copy of it,
 * whatever comes together: who changes a block, or copies it, has it for himself meanwhile.
 *
 * As with any disk, what was written and not flushed may be lost with the power, though not by an end of this program.
 */
export class CowDisk {
  readonly size: number
  readonly #backup: ReadAt
  readonly #file: BlockFile
  readonly #map: BlockMap
  readonly #locks = new RangeLock()
  /** Blocks that were copied and not changed since, as bits. */
  readonly #copies: Uint8Array
  /** Blocks of the file that this object has made zeros, and nobody has written to since, as bits. */
  readonly #zeros: Uint8Array

  constructor(backup: ReadAt, file: BlockFile, map: BlockMap) {
    this.size = map.header.size
    this.#backup = backup
    this.#file = file
    this.#map = map
    this.#copies = new Uint8Array(Math.ceil(map.blocks / 8))
    this.#zeros = new Uint8Array(this.#copies.length)
  }

  get map(): BlockMap {
    return this.#map
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.#check(offset, length)
    const out = new Uint8Array(length)
    const parts: Promise<void>[] = []
    for (let at = offset, end = offset + length; at < end; ) {
      const { inFile, end: runEnd } = this.runAt(at)
      const to = Math.min(runEnd, end)
      const into = out.subarray(at - offset, to - offset)
      parts.push(inFile ? this.#file.read(into, at) : this.#readBackup(into, at))
      at = to
    }
    await Promise.all(parts)
    return out
  }

  /** Resolves when reads have the bytes, also those after an end of this program. */
  async write(bytes: Uint8Array, offset: number): Promise<void> {
    this.#check(offset, bytes.length)
    if (bytes.length === 0) return
    await this.#change(offset, bytes.length, async (from, to) => {
      clearBits(this.#zeros, from, to)
      await this.#file.write(bytes, offset)
    })
  }

  /** Makes a range read as zeros. */
  async zero(offset: number, length: number): Promise<void> {
    this.#check(offset, length)
    if (length === 0) return
    const { blockSize } = this.#map.header
    const end = offset + length
    const [first, last] = [Math.ceil(offset / blockSize), end === this.size ? this.#map.blocks : Math.floor(end / blockSize)]
    await this.#change(offset, length, async () => {
      await this.#file.zero(offset, length)
      setBits(this.#zeros, first, last)
    })
  }

  /** What was written before is safe from a loss of power when it resolves. */
  flush(): Promise<void> {
    return this.#map.checkpoint(() => this.#file.sync())
  }

  /** Copies the blocks of `[offset, offset+length)` that are not in the file yet from the backup. */
  async fill(offset: number, length: number): Promise<void> {
    const { blockSize } = this.#map.header
    const [from, to] = [Math.floor(offset / blockSize), Math.ceil(Math.min(offset + length, this.size) / blockSize)]
    await this.#locks.run(from, to, async () => {
      for (let block = this.#map.next(from, false); block < to; block = this.#map.next(block, false)) {
        const end = Math.min(this.#map.next(block, true), to)
        await this.#copy(block * blockSize, Math.min(end * blockSize, this.size))
        await this.#map.add(block, end)
        setBits(this.#copies, block, end)
        block = end
      }
    })
  }

  /**
   * Compares what `fill` of this object has copied, and nobody has changed since, with the backup. Answers where it
   * differs first; undefined: nowhere. The disk is asked, if the file was synced before.
   */
  async compareCopies(offset: number, length: number): Promise<number | undefined> {
    const { blockSize } = this.#map.header
    const [from, to] = [Math.floor(offset / blockSize), Math.ceil(Math.min(offset + length, this.size) / blockSize)]
    return this.#locks.run(from, to, async () => {
      await this.#file.forget?.(from * blockSize, (to - from) * blockSize)
      for (let block = from; block < to; block++) {
        if (!hasBit(this.#copies, block)) continue
        const start = block * blockSize
        const bytes = Buffer.alloc(Math.min(blockSize, this.size - start))
        await this.#file.read(bytes, start)
        if (!bytes.equals(await this.#backup.read(start, bytes.length))) return start
      }
      return undefined
    })
  }

  /** Where the bytes from `offset` on are, and up to where that is so. */
  runAt(offset: number): { readonly inFile: boolean; readonly end: number } {
    const { blockSize } = this.#map.header
    const block = Math.floor(offset / blockSize)
    const inFile = this.#map.has(block)
    return { inFile, end: Math.min(this.#map.next(block, !inFile) * blockSize, this.size) }
  }

  /** Of bytes that are in the file: the first at or behind `offset` and before `end` that are known to be zeros, or are not; else `end`. */
  nextZeros(offset: number, end: number, areZeros: boolean): number {
    const { blockSize } = this.#map.header
    const found = nextBlock(this.#zeros, Math.floor(offset / blockSize), Math.ceil(end / blockSize), areZeros) * blockSize
    return Math.max(offset, Math.min(found, end))
  }

  /** Flushes, and gives the files back. */
  async close(): Promise<void> {
    try {
      await this.flush()
    } finally {
      await this.#map.close()
      await this.#file.close()
    }
  }

  /** Blocks that are changed in part get the rest of their bytes first. */
  async #change(offset: number, length: number, change: (from: number, to: number) => Promise<void>): Promise<void> {
    const { blockSize } = this.#map.header
    const end = offset + length
    const [from, to] = [Math.floor(offset / blockSize), Math.ceil(end / blockSize)]
    await this.#locks.run(from, to, async () => {
      clearBits(this.#copies, from, to)
      const [start, last] = [from * blockSize, Math.min(to * blockSize, this.size)]
      if (start < offset && !this.#map.has(from)) await this.#copy(start, Math.min(start + blockSize, last))
      if (end < last && !this.#map.has(to - 1) && (to - 1 > from || start === offset)) await this.#copy((to - 1) * blockSize, last)
      await change(from, to)
      await this.#map.add(from, to)
    })
  }

  async #copy(start: number, end: number): Promise<void> {
    const stream = this.#backup
    for (let at = start; at < end; ) {
      const data = Math.min(stream.nextData?.(at) ?? at, end)
      // A file that was there before may hold anything.
      if (data > at) await this.#file.zero(at, data - at)
      if (data === end) return
      const to = Math.min(stream.nextHole?.(data) ?? end, end)
      await this.#file.write(await stream.read(data, to - data), data)
      at = to
    }
  }

  async #readBackup(into: Uint8Array, offset: number): Promise<void> {
    into.set(await this.#backup.read(offset, into.length))
  }

  #check(offset: number, length: number): void {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) throw new NodeError('EINVAL', `bytes ${offset}+${length} lie outside of the disk`)
  }
}

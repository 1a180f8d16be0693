import { lendBytes, ownBytes } from '../bytes/lend-bytes.js'
import type { LentBytes, ReadAt } from '../bytes/read-at.js'
import type { CowDisk } from './cow-disk.js'

/** A disk that is changed meanwhile, for those who read it. */
export class CowStream implements ReadAt {
  readonly name: string
  readonly size: number
  readonly #disk: CowDisk
  readonly #backup: ReadAt

  constructor(name: string, disk: CowDisk, backup: ReadAt) {
    this.name = name
    this.size = disk.size
    this.#disk = disk
    this.#backup = backup
  }

  /** Nothing of it stays as it is. */
  peek(): undefined {
    return undefined
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return this.#disk.read(offset, length)
  }

  lend(offset: number, length: number): LentBytes | Promise<LentBytes> {
    const { inFile, end } = this.#disk.runAt(offset)
    return !inFile && offset + length <= end ? lendBytes(this.#backup, offset, length) : this.#disk.read(offset, length).then(ownBytes)
  }

  nextData(offset: number): number {
    for (let at = offset; at < this.size; ) {
      const { inFile, end } = this.#disk.runAt(at)
      const data = inFile ? this.#disk.nextZeros(at, end, false) : (this.#backup.nextData?.(at) ?? at)
      if (data < end) return data
      at = end
    }
    return this.size
  }

  nextHole(offset: number): number {
    for (let at = offset; at < this.size; ) {
      const { inFile, end } = this.#disk.runAt(at)
      const hole = inFile ? this.#disk.nextZeros(at, end, true) : (this.#backup.nextHole?.(at) ?? this.size)
      if (hole < end) return hole
      at = end
    }
    return this.size
  }

  prepare(): Promise<void> | undefined {
    return this.#backup.prepare?.()
  }
}

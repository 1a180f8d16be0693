import { TruncatedError } from '#src/errors/errors.js'
import type { ReadAt } from '#src/bytes/read-at.js'

export interface MemoryStreamOptions {
  readonly name?: string
  /** Ascending offsets where one piece of memory ends and the next begins: no peek crosses them. */
  readonly borders?: readonly number[]
  /** False: nothing is ever in memory. */
  readonly peeks?: boolean
  /** Called before each read; throws to make it fail. */
  readonly onRead?: (offset: number, length: number) => void
}

/** A ReadAt over an array. Every view and copy owns its memory, so writing into one spoils nothing. */
export class MemoryStream implements ReadAt {
  readonly name: string
  readonly size: number
  /** All reads so far. */
  readonly reads: { offset: number; length: number }[] = []
  readonly #bytes: Uint8Array
  readonly #options: MemoryStreamOptions

  constructor(bytes: Uint8Array, options: MemoryStreamOptions = {}) {
    this.#bytes = bytes
    this.#options = options
    this.name = options.name ?? 'memory'
    this.size = bytes.length
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    if (offset < 0 || length < 0 || offset + length > this.size) throw new RangeError(`peek outside the stream: ${offset}+${length}`)
    if (this.#options.peeks === false) return undefined
    for (const border of this.#options.borders ?? []) {
      if (border > offset && border < offset + length) return undefined
    }
    return this.#bytes.subarray(offset, offset + length)
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.reads.push({ offset, length })
    this.#options.onRead?.(offset, length)
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) {
      throw new TruncatedError(`${this.name}: read outside the stream`, { stream: this.name, offset, expected: length, actual: this.size })
    }
    await Promise.resolve()
    return this.#bytes.slice(offset, offset + length)
  }
}

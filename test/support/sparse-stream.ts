import type { ReadAt } from '#src/bytes/read-at.js'

/** A ReadAt of pieces, some of them holes of the same length as the first piece that is none (or 4). */
export class SparseStream implements ReadAt {
  readonly name = 'sparse'
  readonly size: number
  readonly #bytes: Buffer
  readonly #step: number
  readonly #holes: readonly boolean[]

  constructor(pieces: readonly (Buffer | undefined)[]) {
    this.#step = pieces.find((piece) => piece !== undefined)?.length ?? 4
    this.#holes = pieces.map((piece) => piece === undefined)
    this.#bytes = Buffer.concat(pieces.map((piece) => piece ?? Buffer.alloc(this.#step)))
    this.size = this.#bytes.length
  }

  peek(): undefined {
    return undefined
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return this.#bytes.subarray(offset, offset + length)
  }

  nextData(offset: number): number {
    return this.#next(offset, false)
  }

  nextHole(offset: number): number {
    return this.#next(offset, true)
  }

  #next(offset: number, isHole: boolean): number {
    const first = Math.floor(offset / this.#step)
    if (this.#holes[first] === isHole) return offset
    const found = this.#holes.findIndex((hole, i) => i > first && hole === isHole)
    return found < 0 ? this.size : found * this.#step
  }
}

/** Which chunks of a stream are all zeros: one bit each, so that a run of millions is passed over in a moment. */
export class ZeroMap {
  readonly count: number
  readonly #words: Uint32Array

  /** For `count` chunks, none of them zeros yet. */
  constructor(count: number) {
    this.count = count
    this.#words = new Uint32Array(Math.ceil(count / 32))
  }

  get byteLength(): number {
    return this.#words.byteLength
  }

  add(i: number): void {
    this.#words[i >>> 5]! |= 1 << (i & 31)
  }

  has(i: number): boolean {
    return ((this.#words[i >>> 5]! >>> (i & 31)) & 1) === 1
  }

  /** First chunk at or behind `i` that is (`zero`) or is not all zeros; their number when there is none. */
  next(i: number, zero: boolean): number {
    if (i >= this.count) return this.count
    const flip = zero ? 0 : -1
    let word = i >>> 5
    let bits = (this.#words[word]! ^ flip) & (-1 << (i & 31))
    while (bits === 0) {
      if (++word >= this.#words.length) return this.count
      bits = this.#words[word]! ^ flip
    }
    return Math.min(this.count, word * 32 + 31 - Math.clz32(bits & -bits))
  }
}

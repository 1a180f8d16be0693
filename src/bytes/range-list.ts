/** Bytes `[offset, offset + length)` of a stream. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

const FIRST_NUMBERS = 64

/** Ranges of a stream, ascending and apart from one another, 16 bytes each: millions of them are no burden. */
export class RangeList implements Iterable<ByteRange> {
  /** Start and end of each. */
  #numbers = new Float64Array(FIRST_NUMBERS)
  #used = 0
  #bytes = 0

  /** Number of ranges. */
  get count(): number {
    return this.#used / 2
  }

  /** Bytes in all ranges. */
  get bytes(): number {
    return this.#bytes
  }

  startOf(i: number): number {
    return this.#numbers[i * 2]!
  }

  endOf(i: number): number {
    return this.#numbers[i * 2 + 1]!
  }

  /** Adds `[start, end)`, which must not begin before the last one ends; what touches it becomes one with it. */
  add(start: number, end: number): void {
    if (end <= start) return
    const last = this.#used === 0 ? -1 : this.#numbers[this.#used - 1]!
    if (start < last) throw new Error(`bug: range ${start} to ${end} does not lie behind ${last}`)
    this.#bytes += end - start
    if (start === last) {
      this.#numbers[this.#used - 1] = end
      return
    }
    if (this.#used === this.#numbers.length) {
      const larger = new Float64Array(this.#used * 2)
      larger.set(this.#numbers)
      this.#numbers = larger
    }
    this.#numbers[this.#used++] = start
    this.#numbers[this.#used++] = end
  }

  /** Number of the first range that ends behind `offset`; `count` when there is none. O(log count). */
  firstBehind(offset: number): number {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.endOf(middle) > offset) high = middle
      else low = middle + 1
    }
    return low
  }

  /** What of the ranges lies before `end`. */
  clip(end: number): RangeList {
    const clipped = new RangeList()
    for (let i = 0; i < this.count && this.startOf(i) < end; i++) clipped.add(this.startOf(i), Math.min(this.endOf(i), end))
    return clipped
  }

  /** What of `[0, size)` is in none of the ranges. */
  complement(size: number): RangeList {
    const rest = new RangeList()
    let at = 0
    for (let i = 0; i < this.count && this.startOf(i) < size; at = this.endOf(i++)) rest.add(at, this.startOf(i))
    rest.add(at, size)
    return rest
  }

  /** What is in one of the two lists, or in both. */
  union(other: RangeList): RangeList {
    const all = new RangeList()
    for (let i = 0, k = 0; i < this.count || k < other.count; ) {
      const mine = k === other.count || (i < this.count && this.startOf(i) <= other.startOf(k))
      const [start, end] = mine ? [this.startOf(i), this.endOf(i++)] : [other.startOf(k), other.endOf(k++)]
      const known = all.count === 0 ? 0 : all.endOf(all.count - 1)
      all.add(Math.max(start, known), end)
    }
    return all
  }

  *[Symbol.iterator](): Generator<ByteRange> {
    for (let i = 0; i < this.count; i++) yield { offset: this.startOf(i), length: this.endOf(i) - this.startOf(i) }
  }
}

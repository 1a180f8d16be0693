/** Numbers kept of either generation; together some 60 MB when all are in use. */
const GENERATION_SIZE = 1_000_000

/** 0 is no inode, 1 is the root. */
const FIRST = 2
const LAST = 2 ** 32 - 2

/**
 * 32-bit inode numbers for nodes that have 64: the library carries no more. Numbers are given in
 * the order nodes are seen, and never to a second node, so two files cannot be taken for one. A
 * node that was not seen for a million others may get a new number.
 */
export class InodeNumbers {
  readonly #size: number
  #young = new NumberTable()
  #old = new NumberTable()
  #next = FIRST

  constructor(generationSize: number = GENERATION_SIZE) {
    this.#size = generationSize
  }

  numberOf(hi: number, lo: number): number {
    if (hi === 0 && lo === 1) return 1
    const known = this.#young.get(hi, lo)
    if (known !== undefined) return known
    if (this.#young.size >= this.#size) {
      this.#old = this.#young
      this.#young = new NumberTable()
    }
    const number = this.#old.get(hi, lo) ?? this.#take()
    this.#young.set(hi, lo, number)
    return number
  }

  #take(): number {
    const number = this.#next
    // Four thousand million files later the oldest numbers are long forgotten by everybody.
    this.#next = number >= LAST ? FIRST : number + 1
    return number
  }
}

/** A map from two u32 to a u32 without an object per entry. */
class NumberTable {
  readonly #byHi = new Map<number, Map<number, number>>()
  size = 0

  get(hi: number, lo: number): number | undefined {
    return this.#byHi.get(hi)?.get(lo)
  }

  /** The pair must not be there yet. */
  set(hi: number, lo: number, number: number): void {
    let table = this.#byHi.get(hi)
    if (table === undefined) this.#byHi.set(hi, (table = new Map<number, number>()))
    table.set(lo, number)
    this.size++
  }
}

/** Allocation unit in bytes: a memory page, so that a freed extent can be reused by any chunk. */
export const PAGE = 4096

/**
 * Hands out extents of one block of memory, first fit, and joins neighbours when they come
 * back. Knows only offsets; the memory is the caller's.
 */
export class ExtentAllocator {
  readonly size: number
  /** Free extents, ascending: offsets and lengths in parallel. */
  readonly #offsets: number[]
  readonly #lengths: number[]
  #free: number

  constructor(sizeBytes: number) {
    this.size = Math.floor(sizeBytes / PAGE) * PAGE
    this.#offsets = [0]
    this.#lengths = [this.size]
    this.#free = this.size
  }

  get freeBytes(): number {
    return this.#free
  }

  /** What an allocation of `bytes` really takes. */
  static roundUp(bytes: number): number {
    return Math.max(PAGE, Math.ceil(bytes / PAGE) * PAGE)
  }

  /** Offset of an extent of `roundUp(bytes)`, or -1 when no free extent is long enough. */
  allocate(bytes: number): number {
    const need = ExtentAllocator.roundUp(bytes)
    if (need > this.#free) return -1
    for (let i = 0; i < this.#lengths.length; i++) {
      const length = this.#lengths[i]!
      if (length < need) continue
      const offset = this.#offsets[i]!
      if (length === need) {
        this.#offsets.splice(i, 1)
        this.#lengths.splice(i, 1)
      } else {
        this.#offsets[i] = offset + need
        this.#lengths[i] = length - need
      }
      this.#free -= need
      return offset
    }
    return -1
  }

  /** Gives back what `allocate(bytes)` returned. Freeing what is free is a bug and throws. */
  release(offset: number, bytes: number): void {
    const length = ExtentAllocator.roundUp(bytes)
    let low = 0
    let high = this.#offsets.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#offsets[middle]! < offset) low = middle + 1
      else high = middle
    }
    const before = low - 1
    const endOfBefore = before < 0 ? 0 : this.#offsets[before]! + this.#lengths[before]!
    const startOfAfter = low < this.#offsets.length ? this.#offsets[low]! : this.size
    if (offset < endOfBefore || offset + length > startOfAfter) {
      throw new Error(`extent ${offset}+${length} released twice`)
    }
    const joinsBefore = before >= 0 && endOfBefore === offset
    const joinsAfter = low < this.#offsets.length && offset + length === startOfAfter
    if (joinsBefore && joinsAfter) {
      this.#lengths[before]! += length + this.#lengths[low]!
      this.#offsets.splice(low, 1)
      this.#lengths.splice(low, 1)
    } else if (joinsBefore) {
      this.#lengths[before]! += length
    } else if (joinsAfter) {
      this.#offsets[low] = offset
      this.#lengths[low]! += length
    } else {
      this.#offsets.splice(low, 0, offset)
      this.#lengths.splice(low, 0, length)
    }
    this.#free += length
  }
}

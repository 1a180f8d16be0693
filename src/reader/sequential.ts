/** Readers followed at once in one stream. */
const TRACKS = 16

/** How far behind the end of the last request the next may start: item headers between small files. */
const GAP_BYTES = 64 * 1024

/** Requests that start where one ended, that make a sequential reader. */
const EVIDENCE = 2

/** One such request is enough when all together asked for this much: the kernel reads so far ahead for sequential readers only. */
const EVIDENCE_BYTES = 1024 * 1024

/**
 * Tells sequential readers of a stream from random ones, by the requests alone: the kernel
 * names no open file. Several readers may be interleaved.
 */
export class SequentialDetector {
  readonly #ends = new Float64Array(TRACKS).fill(-1)
  readonly #runs = new Uint16Array(TRACKS)
  /** Bytes that the requests of a run asked for. */
  readonly #bytes = new Float64Array(TRACKS)
  #next = 0

  /** True when the request `[offset, offset+length)` continues a run. */
  note(offset: number, length: number): boolean {
    const end = offset + length
    for (let i = 0; i < TRACKS; i++) {
      const last = this.#ends[i]!
      // Readahead requests of one reader may come a little out of order.
      if (last < 0 || offset < last - length || offset > last + GAP_BYTES) continue
      if (end > last) this.#ends[i] = end
      if (this.#runs[i]! < 0xffff) this.#runs[i]!++
      this.#bytes[i]! += length
      return this.#runs[i]! >= EVIDENCE || this.#bytes[i]! >= EVIDENCE_BYTES
    }
    this.#ends[this.#next] = end
    this.#runs[this.#next] = 0
    this.#bytes[this.#next] = length
    this.#next = (this.#next + 1) % TRACKS
    return false
  }
}

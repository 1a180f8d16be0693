/** Bytes as they come in, taken out in the lengths that the protocol asks for. */
export class ByteQueue {
  readonly #pieces: Buffer[] = []
  #length = 0

  get length(): number {
    return this.#length
  }

  push(bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#pieces.push(bytes)
    this.#length += bytes.length
  }

  /** The next `length` bytes in one piece; undefined: they are not there yet. */
  take(length: number): Buffer | undefined {
    if (length > this.#length) return undefined
    this.#length -= length
    const first = this.#pieces[0]
    if (length === 0 || first === undefined) return Buffer.alloc(0)
    if (first.length > length) {
      this.#pieces[0] = first.subarray(length)
      return first.subarray(0, length)
    }
    if (first.length === length) {
      this.#pieces.shift()
      return first
    }
    return this.#join(length)
  }

  /** Drops up to `length` bytes; returns how many there were. */
  skip(length: number): number {
    const count = Math.min(length, this.#length)
    for (let left = count; left > 0; ) {
      const first = this.#pieces[0]!
      const part = Math.min(left, first.length)
      if (part === first.length) this.#pieces.shift()
      else this.#pieces[0] = first.subarray(part)
      left -= part
    }
    this.#length -= count
    return count
  }

  #join(length: number): Buffer {
    const out = Buffer.allocUnsafeSlow(length)
    for (let done = 0; done < length; ) {
      const first = this.#pieces[0]!
      const part = Math.min(length - done, first.length)
      first.copy(out, done, 0, part)
      done += part
      if (part === first.length) this.#pieces.shift()
      else this.#pieces[0] = first.subarray(part)
    }
    return out
  }
}

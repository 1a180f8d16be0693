import { damage } from './damage.js'

/** 7 bits a byte, lowest first; bit 7 set: more follows. */
const MAX_UNSIGNED_BYTES = 10
const MAX_SIGNED_BYTES = 11

/** Reads numbers of a catalog out of a piece of memory; `pos` moves on. */
export class VarintCursor {
  bytes: Uint8Array = new Uint8Array(0)
  /** Index in `bytes` of the next byte. */
  pos = 0
  /** Numbers must end before this index. */
  limit = 0
  /** Absolute offset of `bytes[0]`, for errors. */
  base = 0
  readonly #stream: string

  constructor(stream: string) {
    this.#stream = stream
  }

  byte(): number {
    if (this.pos >= this.limit) throw damage(this.#stream, this.base + this.pos, 'catalog', 'goes on past its block')
    return this.bytes[this.pos++]!
  }

  /** Unsigned, at most 2^53-1. */
  unsigned(): number {
    const start = this.pos
    let value = 0
    let scale = 1
    for (let i = 0; i < MAX_UNSIGNED_BYTES; i++) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return this.#checked(value, start)
      scale *= 0x80
    }
    throw this.#tooLong(start)
  }

  /** As unsigned, or negative: every byte of the magnitude has bit 7 set, then a zero byte. */
  signed(): number {
    const start = this.pos
    let value = 0
    let scale = 1
    for (let i = 0; i < MAX_SIGNED_BYTES; i++) {
      const byte = this.byte()
      if (byte === 0) return i === 0 ? 0 : this.#checked(-value, start)
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return this.#checked(value, start)
      scale *= 0x80
    }
    throw this.#tooLong(start)
  }

  #checked(value: number, start: number): number {
    if (Number.isSafeInteger(value)) return value
    throw damage(this.#stream, this.base + start, 'catalog', 'a number above 2^53-1')
  }

  #tooLong(start: number): Error {
    return damage(this.#stream, this.base + start, 'catalog', 'a number that does not end')
  }
}

import { peekSize, viewOf } from '../bytes/le.js'
import type { ReadAt } from '../bytes/read-at.js'
import { HEADER_SIZE, ITEM_PAYLOAD, MIN_PAYLOAD_OFFSET, itemOf } from './format.js'

/** Largest piece of the stream looked into at once. */
const PIECE = 4 * 1024 * 1024

/**
 * Looks at the headers of payloads that lie one behind the other, without waiting for any and without an object for each.
 * Good until control returns to the event loop.
 */
export class PayloadLook {
  readonly #stream: ReadAt
  /** Memory of the stream's bytes `[from, to)`. */
  #view: DataView | undefined
  #from = 0
  #to = 0

  constructor(stream: ReadAt) {
    this.#stream = stream
  }

  /** Does the PAYLOAD header at `offset` say `size` bytes? undefined: it is not in memory. */
  at(offset: number, size: number): boolean | undefined {
    if (offset < MIN_PAYLOAD_OFFSET || offset + HEADER_SIZE + size > this.#stream.size) return false
    if ((offset < this.#from || offset + HEADER_SIZE > this.#to) && !this.#move(offset)) return undefined
    const view = this.#view!
    const at = offset - this.#from
    return itemOf(view.getInt32(at, true), view.getInt32(at + 4, true)) === ITEM_PAYLOAD && peekSize(view, at + 8) === HEADER_SIZE + size
  }

  /** Looks into the largest piece from `offset` on that is in memory in one place, about. */
  #move(offset: number): boolean {
    let bytes = this.#stream.peek(offset, HEADER_SIZE)
    if (bytes === undefined) return false
    for (let length = Math.min(PIECE, this.#stream.size - offset); length > HEADER_SIZE; length = Math.floor(length / 2)) {
      const longer = this.#stream.peek(offset, length)
      if (longer === undefined) continue
      bytes = longer
      break
    }
    this.#view = viewOf(bytes)
    this.#from = offset
    this.#to = offset + bytes.length
    return true
  }
}

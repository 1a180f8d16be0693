import { randomBytes } from 'node:crypto'
import { viewOf } from '../bytes/le.js'

const DIGEST_SIZE = 32
const WORDS = DIGEST_SIZE / 4
const FIRST_CAPACITY = 1024
/** Slots for each digest that fits, so that a search is short. */
const SLOTS = 2

/**
 * Distinct digests of chunks, numbered in the order they came. Takes 40 bytes a digest, up to twice that while it
 * grows: a store of 10^7 chunks is looked through in less than a gigabyte.
 */
export class DigestSet {
  #bytes = new Uint8Array(FIRST_CAPACITY * DIGEST_SIZE)
  #slots = new Int32Array(FIRST_CAPACITY * SLOTS).fill(-1)
  #size = 0
  /** Drawn anew each time: whoever makes up digests cannot make them fall together. */
  readonly #factors: Uint32Array

  constructor() {
    const seed = randomBytes(DIGEST_SIZE)
    this.#factors = Uint32Array.from({ length: WORDS }, (_, i) => seed.readUInt32LE(i * 4) | 1)
  }

  get size(): number {
    return this.#size
  }

  /** The number of the digest at `bytes[at]`; new ones are kept. */
  add(bytes: Uint8Array, at = 0): number {
    const found = this.#search(bytes, at)
    if (found >= 0) return found
    if (this.#size * DIGEST_SIZE === this.#bytes.length) this.#grow()
    const id = this.#size++
    this.#bytes.set(bytes.subarray(at, at + DIGEST_SIZE), id * DIGEST_SIZE)
    this.#place(id)
    return id
  }

  /** The number of the digest, or -1. */
  find(bytes: Uint8Array, at = 0): number {
    return this.#search(bytes, at)
  }

  /** A view of digest `id`; valid until the next `add`. */
  at(id: number): Uint8Array {
    return this.#bytes.subarray(id * DIGEST_SIZE, (id + 1) * DIGEST_SIZE)
  }

  /** Numbers in ascending order of digests: the order of the store's folders. */
  inOrder(): Uint32Array {
    const view = viewOf(this.#bytes)
    return Uint32Array.from({ length: this.#size }, (_, id) => id).sort((a, b) => {
      for (let word = 0; word < WORDS; word++) {
        const at = word * 4
        const difference = view.getUint32(a * DIGEST_SIZE + at) - view.getUint32(b * DIGEST_SIZE + at)
        if (difference !== 0) return difference
      }
      return 0
    })
  }

  #search(bytes: Uint8Array, at: number): number {
    const mask = this.#slots.length - 1
    for (let slot = this.#hash(bytes, at) & mask; ; slot = (slot + 1) & mask) {
      const id = this.#slots[slot]!
      if (id < 0) return -1
      if (this.#isAt(id, bytes, at)) return id
    }
  }

  #isAt(id: number, bytes: Uint8Array, at: number): boolean {
    const base = id * DIGEST_SIZE
    for (let i = 0; i < DIGEST_SIZE; i++) if (this.#bytes[base + i] !== bytes[at + i]) return false
    return true
  }

  #place(id: number): void {
    const mask = this.#slots.length - 1
    let slot = this.#hash(this.#bytes, id * DIGEST_SIZE) & mask
    while (this.#slots[slot]! >= 0) slot = (slot + 1) & mask
    this.#slots[slot] = id
  }

  #hash(bytes: Uint8Array, at: number): number {
    let hash = 0
    for (let word = 0; word < WORDS; word++) {
      const i = at + word * 4
      const value = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
      hash = (hash + Math.imul(value, this.#factors[word]!)) | 0
      hash ^= hash >>> 15
    }
    return hash
  }

  #grow(): void {
    const bytes = new Uint8Array(this.#bytes.length * 2)
    bytes.set(this.#bytes)
    this.#bytes = bytes
    this.#slots = new Int32Array((bytes.length / DIGEST_SIZE) * SLOTS).fill(-1)
    for (let id = 0; id < this.#size; id++) this.#place(id)
  }
}

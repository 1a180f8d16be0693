import { createHash } from 'node:crypto'
import type { ChunkStore } from './chunk-store.js'
import { randomOf, type Random } from './random.js'

const MiB = 1024 * 1024

const MAGIC_DYNAMIC = Buffer.from('1c914ea519bab3cd', 'hex')
const MAGIC_FIXED = Buffer.from('2f7f41ed91fd0fcd', 'hex')
const HEADER_SIZE = 4096
const DYNAMIC_ENTRY = 40
const FIXED_ENTRY = 32

export const MAX_CHUNK = 16 * MiB
/** Smallest chunk of a dynamic stream, but for its last; behind it a file start is a cut. */
const MIN_CHUNK = MiB
const FIXED_CHUNK = 4 * MiB

/** How a stream is cut into chunks. */
export type Cut = 'content' | 'content-and-files' | 'fixed'

/** A finished index: the file, and what a manifest says of it. */
export interface FinishedIndex {
  readonly bytes: Buffer
  readonly size: number
  readonly csum: string
}

/**
 * A stream on its way into chunks. Lengths of content-defined chunks are drawn as a rolling hash
 * would give them: 1 MiB, then any place with the same chance, 4 MiB on average, 16 at most.
 */
export class ChunkedStream {
  readonly #store: ChunkStore
  readonly #cut: Cut
  readonly #random: Random
  readonly #buffer = Buffer.allocUnsafeSlow(MAX_CHUNK)
  readonly #entries: Buffer[] = []
  #length = 0
  #limit: number
  #end = 0

  constructor(store: ChunkStore, cut: Cut, seed: number) {
    this.#store = store
    this.#cut = cut
    this.#random = randomOf(seed)
    this.#limit = this.#nextLength()
  }

  /** Bytes written so far. */
  get position(): number {
    return this.#end + this.#length
  }

  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + this.#limit - this.#length)
      this.#buffer.set(part, this.#length)
      this.#length += part.length
      at += part.length
      if (this.#length === this.#limit) this.#emit()
    }
  }

  /** A file begins here: where a client cuts when the chunk is long enough. */
  fileStart(): void {
    if (this.#cut === 'content-and-files' && this.#length >= MIN_CHUNK) this.#emit()
  }

  finish(): FinishedIndex {
    if (this.#length > 0) this.#emit()
    const entries = Buffer.concat(this.#entries)
    const header = Buffer.alloc(HEADER_SIZE)
    const csum = createHash('sha256').update(entries).digest()
    header.set(this.#cut === 'fixed' ? MAGIC_FIXED : MAGIC_DYNAMIC)
    header.writeBigInt64LE(1_767_225_600n, 24)
    header.set(csum, 32)
    if (this.#cut === 'fixed') {
      header.writeBigUInt64LE(BigInt(this.#end), 64)
      header.writeBigUInt64LE(BigInt(FIXED_CHUNK), 72)
    }
    return { bytes: Buffer.concat([header, entries]), size: this.#end, csum: csum.toString('hex') }
  }

  #emit(): void {
    const digest = this.#store.put(this.#buffer.subarray(0, this.#length))
    this.#end += this.#length
    this.#length = 0
    this.#limit = this.#nextLength()
    const entry = Buffer.alloc(this.#cut === 'fixed' ? FIXED_ENTRY : DYNAMIC_ENTRY)
    if (this.#cut !== 'fixed') entry.writeBigUInt64LE(BigInt(this.#end))
    entry.set(digest, entry.length - digest.length)
    this.#entries.push(entry)
  }

  #nextLength(): number {
    if (this.#cut === 'fixed') return FIXED_CHUNK
    const beyond = -Math.log(1 - this.#random()) * 3 * MiB
    return Math.min(MAX_CHUNK, MIN_CHUNK + Math.floor(beyond))
  }
}

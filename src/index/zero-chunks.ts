import { createHash } from 'node:crypto'
import { equalBytes } from '../bytes/names.js'
import { MAX_CHUNK_SIZE } from '../bytes/limits.js'
import type { ChunkIndex } from './chunk-index.js'
import { ZeroMap } from './zero-map.js'

/** SHA-256 of n zero bytes, for every n that is the largest chunk of some writer. */
const PLAIN: readonly (readonly [size: number, digest: string])[] = [
  [0x1_0000, 'de2f256064a0af797747c2b97505dc0b9f3df0de4f489eac731c23ae9ca9cc31'],
  [0x2_0000, 'fa43239bcee7b97ca62f007cc68487560a39e19f74f3dde7486db3f98df8e471'],
  [0x4_0000, '8a39d2abd3999ab73c34db2476849cddf303ce389b35826850f9a700589b4a90'],
  [0x8_0000, '07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541'],
  [0x10_0000, '30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58'],
  [0x20_0000, '5647f05ec18958947d32874eeb788fa396a05d0bab7c1b71f112ceb7e9b31eee'],
  [0x40_0000, 'bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8'],
  [0x80_0000, '2daeb1f36095b44b318410b3f4e8b5d989dcc7bb023d1426c492dab0a3053e74'],
  [0x100_0000, '080acf35a507ac9849cfcba47dc2ad83e01b75663a516279c8b9d243b719643e'],
]
const SIZES = new Set(PLAIN.map(([size]) => size))
const HASH_STEP = 1024 * 1024

/**
 * Digests of chunks that are nothing but zeros: constants, except in encrypted archives, where
 * they depend on the key and are computed once each when first asked for. Only lengths that are a
 * power of two from 64 KiB to 16 MiB are known; a zero chunk of another length looks like data.
 */
export class ZeroChunks {
  readonly #digests = new Map<number, Uint8Array>()
  readonly #idKey: Uint8Array | undefined

  /** `idKey`: of encrypted archives. */
  constructor(idKey?: Uint8Array) {
    this.#idKey = idKey
    if (idKey !== undefined) return
    for (const [size, digest] of PLAIN) this.#digests.set(size, Buffer.from(digest, 'hex'))
  }

  /** Is chunk `i` all zeros? Decided by its length and digest, nothing is read. */
  has(index: ChunkIndex, i: number): boolean {
    const zero = this.digestOf(index.endOf(i) - index.startOf(i))
    return zero !== undefined && equalBytes(index.digestAt(i), zero)
  }

  /** Digest of a zero chunk of that length, if it is one of the known lengths. */
  digestOf(length: number): Uint8Array | undefined {
    return this.#digests.get(length) ?? this.#compute(length)
  }

  #compute(length: number): Uint8Array | undefined {
    if (this.#idKey === undefined || !SIZES.has(length)) return undefined
    const digest = hashZeros(length, this.#idKey)
    this.#digests.set(length, digest)
    return digest
  }
}

/** Looks at every entry of an index in memory; about 20 ns each. */
export function mapZeros(index: ChunkIndex, zeros: ZeroChunks | undefined): ZeroMap {
  const map = new ZeroMap(index.count)
  if (zeros === undefined) return map
  for (let i = 0; i < index.count; i++) if (zeros.has(index, i)) map.add(i)
  return map
}

/** Digest of a chunk of `length` zero bytes (at most 16 MiB). */
export function hashZeros(length: number, idKey?: Uint8Array): Buffer {
  const step = new Uint8Array(Math.min(length, HASH_STEP))
  const hash = createHash('sha256')
  for (let left = Math.min(length, MAX_CHUNK_SIZE); left > 0; left -= step.length) {
    hash.update(left < step.length ? step.subarray(0, left) : step)
  }
  if (idKey !== undefined) hash.update(idKey)
  return hash.digest()
}

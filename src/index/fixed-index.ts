import { readSize, viewOf } from '../bytes/le.js'
import { MAX_CHUNK_SIZE } from '../bytes/limits.js'
import { keyOf } from '../bytes/names.js'
import { TruncatedError } from '../errors/errors.js'
import type { ChunkIndex } from './chunk-index.js'
import { checkIndexHeader, DIGEST_SIZE, entriesCsum, INDEX_HEADER_SIZE, indexError, readCtime } from './index-format.js'

const AT = { size: 64, chunkSize: 72 } as const
const MIN_CHUNK_SIZE = 64 * 1024

/** An index of equally large chunks, only the last may be shorter. */
export interface FixedIndex extends ChunkIndex {
  readonly kind: 'fixed'
  readonly chunkSize: number
}

/**
 * Checks a whole `.fidx` file and makes it searchable. The index keeps `bytes` and reads from
 * them: they must not change afterwards. Throws TruncatedError or FormatError.
 */
export function parseFixedIndex(bytes: Uint8Array, name: string): FixedIndex {
  const { size, chunkSize, count, fileSize: length } = readFixedHeader(bytes, name)
  if (bytes.length < length) {
    throw new TruncatedError(`${name}: truncated index, ${bytes.length} of ${length} bytes`, {
      stream: name,
      offset: bytes.length,
      expected: `${length} bytes for ${count} chunks`,
      actual: `${bytes.length} bytes`,
    })
  }
  if (bytes.length !== length) {
    throw indexError(name, 'data behind the last entry', length, `${length} bytes for ${count} chunks`, `${bytes.length} bytes`)
  }
  return new PackedFixedIndex(bytes, name, size, chunkSize, count)
}

/** What the header says, checked. */
export interface FixedHeader {
  /** Bytes of the image. */
  readonly size: number
  readonly chunkSize: number
  /** Chunks. */
  readonly count: number
  /** Bytes of the whole index file. */
  readonly fileSize: number
  readonly ctime: number
}

/** Reads the first page of a `.fidx` file. Throws TruncatedError or FormatError. */
export function readFixedHeader(bytes: Uint8Array, name: string): FixedHeader {
  checkIndexHeader(bytes, name, 'fixed')
  const view = viewOf(bytes)
  const size = readSize(view, AT.size, name)
  const chunkSize = readSize(view, AT.chunkSize, name)
  if (chunkSize < MIN_CHUNK_SIZE || chunkSize > MAX_CHUNK_SIZE || (chunkSize & (chunkSize - 1)) !== 0) {
    const expected = `a power of two between ${MIN_CHUNK_SIZE} and ${MAX_CHUNK_SIZE}`
    throw indexError(name, `chunk size ${chunkSize} is not usable`, AT.chunkSize, expected, chunkSize)
  }
  if (size === 0) throw indexError(name, 'index of an empty image', AT.size, 'at least 1 byte', 0)
  const count = Math.ceil(size / chunkSize)
  const fileSize = INDEX_HEADER_SIZE + count * DIGEST_SIZE
  return { size, chunkSize, count, fileSize, ctime: readCtime(bytes) }
}

class PackedFixedIndex implements FixedIndex {
  readonly kind = 'fixed'
  readonly name: string
  readonly size: number
  readonly count: number
  readonly chunkSize: number
  readonly maxChunkSize: number
  readonly csum: string
  readonly ctime: number
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array, name: string, size: number, chunkSize: number, count: number) {
    this.#bytes = bytes
    this.name = name
    this.size = size
    this.chunkSize = chunkSize
    this.maxChunkSize = Math.min(chunkSize, size)
    this.count = count
    this.csum = entriesCsum(bytes)
    this.ctime = readCtime(bytes)
  }

  chunkAt(offset: number): number {
    return Math.floor(offset / this.chunkSize)
  }

  startOf(i: number): number {
    return i * this.chunkSize
  }

  endOf(i: number): number {
    return Math.min((i + 1) * this.chunkSize, this.size)
  }

  digestAt(i: number): Uint8Array {
    const at = INDEX_HEADER_SIZE + i * DIGEST_SIZE
    return this.#bytes.subarray(at, at + DIGEST_SIZE)
  }

  digestsFrom(i: number): Uint8Array {
    return this.#bytes.subarray(INDEX_HEADER_SIZE + i * DIGEST_SIZE)
  }

  keyAt(i: number): string {
    const at = INDEX_HEADER_SIZE + i * DIGEST_SIZE
    return keyOf(this.#bytes, at, at + DIGEST_SIZE)
  }
}

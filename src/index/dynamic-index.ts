import { peekSize, readSize, viewOf } from '../bytes/le.js'
import { MAX_CHUNK_SIZE } from '../bytes/limits.js'
import { keyOf } from '../bytes/names.js'
import { TruncatedError } from '../errors/errors.js'
import type { ChunkIndex } from './chunk-index.js'
import { checkIndexHeader, DIGEST_SIZE, entriesCsum, INDEX_HEADER_SIZE, indexError, readCtime } from './index-format.js'

/** Entry of a dynamic index: end offset of the chunk (u64), its digest. */
const ENTRY_SIZE = 40
const AT = { end: 0, digest: 8 } as const

/** An index of chunks of any length. */
export interface DynamicIndex extends ChunkIndex {
  readonly kind: 'dynamic'
}

/**
 * Checks a whole `.didx` file and makes it searchable. The index keeps `bytes` and reads from
 * them: they must not change afterwards. Throws TruncatedError or FormatError.
 */
export function parseDynamicIndex(bytes: Uint8Array, name: string): DynamicIndex {
  checkIndexHeader(bytes, name, 'dynamic')
  const rest = (bytes.length - INDEX_HEADER_SIZE) % ENTRY_SIZE
  if (rest !== 0) {
    throw new TruncatedError(`${name}: truncated index, the last entry has ${rest} of ${ENTRY_SIZE} bytes`, {
      stream: name,
      offset: bytes.length - rest,
      expected: `${INDEX_HEADER_SIZE} bytes and a multiple of ${ENTRY_SIZE}`,
      actual: `${bytes.length} bytes`,
    })
  }
  const count = (bytes.length - INDEX_HEADER_SIZE) / ENTRY_SIZE
  if (count === 0) throw indexError(name, 'index without entries', INDEX_HEADER_SIZE, 'at least 1 entry', 0)
  const entries = viewOf(bytes.subarray(INDEX_HEADER_SIZE))
  return new PackedDynamicIndex(bytes, entries, name, count, checkEnds(entries, name, count))
}

/** Every chunk has between 1 byte and 16 MiB; answers the largest. */
function checkEnds(entries: DataView, name: string, count: number): number {
  let start = 0
  let largest = 0
  for (let i = 0; i < count; i++) {
    const at = i * ENTRY_SIZE + AT.end
    const end = readSize(entries, at, name, INDEX_HEADER_SIZE)
    const length = end - start
    if (length <= 0) {
      throw indexError(name, `entry ${i} ends before it starts`, INDEX_HEADER_SIZE + at, `an end above ${start}`, end)
    }
    if (length > MAX_CHUNK_SIZE) {
      const expected = `a chunk of at most ${MAX_CHUNK_SIZE} bytes`
      throw indexError(name, `entry ${i} is too large`, INDEX_HEADER_SIZE + at, expected, length)
    }
    if (length > largest) largest = length
    start = end
  }
  return largest
}

class PackedDynamicIndex implements DynamicIndex {
  readonly kind = 'dynamic'
  readonly name: string
  readonly size: number
  readonly count: number
  readonly maxChunkSize: number
  readonly csum: string
  readonly ctime: number
  readonly #bytes: Uint8Array
  readonly #entries: DataView

  constructor(bytes: Uint8Array, entries: DataView, name: string, count: number, maxChunkSize: number) {
    this.#bytes = bytes
    this.#entries = entries
    this.name = name
    this.count = count
    this.size = peekSize(entries, (count - 1) * ENTRY_SIZE + AT.end)
    this.maxChunkSize = maxChunkSize
    this.csum = entriesCsum(bytes)
    this.ctime = readCtime(bytes)
  }

  /** The first chunk whose end is above `offset`. */
  chunkAt(offset: number): number {
    const entries = this.#entries
    let low = 0
    let high = this.count - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (peekSize(entries, middle * ENTRY_SIZE + AT.end) > offset) high = middle
      else low = middle + 1
    }
    return low
  }

  startOf(i: number): number {
    return i === 0 ? 0 : peekSize(this.#entries, (i - 1) * ENTRY_SIZE + AT.end)
  }

  endOf(i: number): number {
    return peekSize(this.#entries, i * ENTRY_SIZE + AT.end)
  }

  digestAt(i: number): Uint8Array {
    const at = INDEX_HEADER_SIZE + i * ENTRY_SIZE + AT.digest
    return this.#bytes.subarray(at, at + DIGEST_SIZE)
  }

  keyAt(i: number): string {
    const at = INDEX_HEADER_SIZE + i * ENTRY_SIZE + AT.digest
    return keyOf(this.#bytes, at, at + DIGEST_SIZE)
  }
}

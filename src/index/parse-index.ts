import { peekSize, viewOf } from '../bytes/le.js'
import { MAX_CHUNK_SIZE } from '../bytes/limits.js'
import { IntegrityError } from '../errors/errors.js'
import type { ChunkIndex } from './chunk-index.js'
import { parseDynamicIndex, type DynamicIndex } from './dynamic-index.js'
import { parseFixedIndex, readFixedHeader, type FixedIndex } from './fixed-index.js'
import { checkIndexHeader, detectIndexKind, INDEX_HEADER_SIZE, indexError } from './index-format.js'

export type AnyIndex = FixedIndex | DynamicIndex

/**
 * An index file of either kind. The magic decides; an extension that says otherwise is an error.
 * The index keeps `bytes`.
 */
export function parseIndex(bytes: Uint8Array, name: string): AnyIndex {
  const kind = detectIndexKind(bytes) ?? (name.endsWith('.fidx') ? 'fixed' : 'dynamic')
  return kind === 'fixed' ? parseFixedIndex(bytes, name) : parseDynamicIndex(bytes, name)
}

/** Bytes at the end of an index file that `checkIndexEnds` needs. */
export const LAST_ENTRY_SIZE = 40

/**
 * Looks at the header and the last bytes of an index file of `length` bytes before all of it is read.
 * Throws what reading it would throw in the end: FormatError or TruncatedError.
 */
export function checkIndexEnds(header: Uint8Array, tail: Uint8Array, length: number, name: string): void {
  const kind = detectIndexKind(header) ?? (name.endsWith('.fidx') ? 'fixed' : 'dynamic')
  checkIndexHeader(header, name, kind)
  if (kind === 'fixed') {
    const { fileSize } = readFixedHeader(header, name)
    if (fileSize !== length) throw indexError(name, 'the file has another length than its header tells', 64, `${fileSize} bytes`, `${length} bytes`)
    return
  }
  const count = Math.floor((length - INDEX_HEADER_SIZE) / LAST_ENTRY_SIZE)
  const end = tail.length === LAST_ENTRY_SIZE ? peekSize(viewOf(tail), 0) : -1
  // Each chunk has at least a byte, and at most 16 MiB.
  if (end < count || end > count * MAX_CHUNK_SIZE) {
    throw indexError(name, `the last of ${count} entries ends at ${end}`, length - LAST_ENTRY_SIZE, `an end from ${count} to ${count * MAX_CHUNK_SIZE}`, end)
  }
}

/** What the manifest records about an index. */
export interface RecordedIndex {
  /** SHA-256 over the entries, hex. */
  readonly csum: string
  /** Logical length of the stream. */
  readonly size: number
}

/**
 * Throws IntegrityError unless the index is the one the manifest speaks of. With `force` the
 * sentence that would have been thrown is returned instead, for a warning.
 */
export function compareWithManifest(index: ChunkIndex, recorded: RecordedIndex, force = false): string | undefined {
  const error = findDifference(index, recorded)
  if (error === undefined) return undefined
  if (force) return error.message
  throw error
}

function findDifference(index: ChunkIndex, recorded: RecordedIndex): IntegrityError | undefined {
  if (index.csum !== recorded.csum.toLowerCase()) {
    return new IntegrityError(`${index.name}: index checksum is not the one in the manifest`, {
      stream: index.name,
      expected: recorded.csum,
      actual: index.csum,
    })
  }
  if (index.size !== recorded.size) {
    return new IntegrityError(`${index.name}: length ${index.size} is not the ${recorded.size} in the manifest`, {
      stream: index.name,
      expected: recorded.size,
      actual: index.size,
    })
  }
  return undefined
}

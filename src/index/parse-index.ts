import { IntegrityError } from '../errors/errors.js'
import type { ChunkIndex } from './chunk-index.js'
import { parseDynamicIndex, type DynamicIndex } from './dynamic-index.js'
import { parseFixedIndex, type FixedIndex } from './fixed-index.js'
import { detectIndexKind } from './index-format.js'

export type AnyIndex = FixedIndex | DynamicIndex

/**
 * An index file of either kind. The magic decides; an extension that says otherwise is an error.
 * The index keeps `bytes`.
 */
export function parseIndex(bytes: Uint8Array, name: string): AnyIndex {
  const kind = detectIndexKind(bytes) ?? (name.endsWith('.fidx') ? 'fixed' : 'dynamic')
  return kind === 'fixed' ? parseFixedIndex(bytes, name) : parseDynamicIndex(bytes, name)
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

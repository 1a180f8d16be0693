import type { ZeroMap } from './zero-map.js'

/**
 * Which chunk holds which bytes of a stream. Entries stay packed as they are on disk and are
 * searched in place; nothing is turned into objects.
 */
export interface ChunkIndex {
  /** Path or archive name, for errors. */
  readonly name: string
  /** Logical length of the stream in bytes. */
  readonly size: number
  /** Number of chunks. */
  readonly count: number
  /** Length of every chunk but the last; absent: they differ. */
  readonly chunkSize?: number
  /** Largest chunk of this index in bytes, at most 16 MiB. */
  readonly maxChunkSize: number
  /** Index of the chunk that holds `offset` (0 <= offset < size). O(log count). */
  chunkAt(offset: number): number
  /** First byte of chunk `i`. */
  startOf(i: number): number
  /** First byte behind chunk `i`. */
  endOf(i: number): number
  /** The 32 bytes of digest `i`, a view into the index. */
  digestAt(i: number): Uint8Array
  /** Digest `i` and those behind it that are in memory in one piece; absent: entries hold more than digests. */
  digestsFrom?(i: number): Uint8Array
  /** The digest as a map key (latin1 string of 32 code units). */
  keyAt(i: number): string
  /** SHA-256 over the entries, as the manifest records it (hex). */
  readonly csum: string
  /** Creation time in the header, Unix seconds. */
  readonly ctime: number
  /** Known when the index was opened for that; else `mapZeros` makes one. */
  readonly zeroMap?: ZeroMap
  /** Bytes in memory; left out: 40 for each chunk at most. */
  readonly memoryBytes?: number
  /**
   * Of an index that is not in memory as a whole: brings the entries `first` to `last` there, for
   * digestAt, digestsFrom and keyAt until control returns to the event loop. undefined: they are there.
   */
  pending?(first: number, last: number): Promise<void> | undefined
}

import { createHash } from 'node:crypto'
import { IntegrityError } from '#src/errors/errors.js'
import type { ReadAt } from '#src/bytes/read-at.js'
import { digestOf } from './datastore-writer.js'

export interface MemoryImageOptions {
  readonly chunkSize?: number | undefined
  /** See `StreamChunks`. */
  readonly digestDomain?: string | undefined
  /** Digests at hand in one piece; others have to be waited for. */
  readonly page?: number
  /** Number of a chunk that cannot be read. */
  readonly lost?: number
}

export interface MemoryImage extends ReadAt {
  /** What was read: offset and length. */
  readonly reads: [number, number][]
}

/** A disk image of these bytes, cut into chunks. Zero chunks are holes. */
export function memoryImage(bytes: Uint8Array, options: MemoryImageOptions = {}): MemoryImage {
  const { chunkSize = 16, digestDomain = 'plain', page = Infinity, lost } = options
  const count = Math.ceil(bytes.length / chunkSize)
  const digests = Buffer.concat(
    Array.from({ length: count }, (_, i) => {
      const plain = bytes.subarray(i * chunkSize, (i + 1) * chunkSize)
      return digestDomain === 'plain' ? digestOf(plain) : createHash('sha256').update(plain).update(digestDomain).digest()
    }),
  )
  let loaded = page === Infinity ? 0 : -1
  const pageOf = (i: number): number => (page === Infinity ? 0 : Math.floor(i / page))
  const reads: [number, number][] = []
  const isHole = (i: number): boolean => bytes.subarray(i * chunkSize, (i + 1) * chunkSize).every((byte) => byte === 0)
  const next = (offset: number, hole: boolean): number => {
    for (let i = Math.floor(offset / chunkSize); i < count; i++) if (isHole(i) === hole) return Math.max(offset, i * chunkSize)
    return bytes.length
  }
  return {
    name: 'disk.img',
    size: bytes.length,
    reads,
    peek: () => undefined,
    read: async (offset, length) => {
      reads.push([offset, length])
      if (lost !== undefined && offset < (lost + 1) * chunkSize && offset + length > lost * chunkSize) throw new IntegrityError('chunk is lost')
      return bytes.slice(offset, offset + length)
    },
    nextData: (offset) => next(offset, false),
    nextHole: (offset) => next(offset, true),
    chunks: {
      count,
      chunkSize,
      csum: createHash('sha256').update(digests).digest('hex'),
      digestDomain,
      digestsFrom: (i) => {
        if (pageOf(i) !== loaded) throw new Error('not loaded')
        return digests.subarray(i * 32, page === Infinity ? undefined : (pageOf(i) + 1) * page * 32)
      },
      pending: (i) => (pageOf(i) === loaded ? undefined : Promise.resolve().then(() => void (loaded = pageOf(i)))),
    },
  }
}

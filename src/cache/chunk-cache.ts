import { LRUCache } from 'lru-cache'
import { ExtentAllocator } from './extent-allocator.js'

/** A chunk's place in shared memory. `bytes` is a view of it. */
export interface ChunkMemory {
  readonly offset: number
  readonly length: number
  readonly bytes: Uint8Array
  /** Does the cache still hold it? False before it is published, and once it was evicted. */
  readonly cached: boolean
}

/** Retired chunks that stay: requests of a reader may come out of order, and another may follow close behind. */
const RETIRED = 8

interface Resident extends ChunkMemory {
  pins: number
  /** Its memory is freed with the last pin once this is false. */
  cached: boolean
}

/**
 * Decoded chunks by digest, least recently used out first, bounded in bytes. The memory is one
 * SharedArrayBuffer, so that decode threads fill it and any thread answers from it without a
 * copy. Knows no format. Only one thread, the owner, calls these methods.
 */
export class ChunkCache {
  readonly memory: SharedArrayBuffer
  readonly #bytes: Uint8Array
  readonly #extents: ExtentAllocator
  readonly #chunks: LRUCache<string, Resident>
  /** Chunks that are not expected to be asked for again, the oldest first. */
  readonly #retired = new Set<string>()
  #evictions = 0
  #pinnedBytes = 0

  constructor(sizeBytes: number) {
    this.#extents = new ExtentAllocator(sizeBytes)
    this.memory = new SharedArrayBuffer(this.#extents.size)
    this.#bytes = new Uint8Array(this.memory)
    this.#chunks = new LRUCache<string, Resident>({
      maxSize: this.#extents.size,
      sizeCalculation: (chunk) => ExtentAllocator.roundUp(chunk.length),
      dispose: (chunk, key) => {
        this.#retired.delete(key)
        chunk.cached = false
        if (chunk.pins === 0) this.#extents.release(chunk.offset, chunk.length)
      },
    })
  }

  /** The chunk, counted as used now. Its bytes stay valid until the next `reserve`, or while pinned. */
  get(key: string): ChunkMemory | undefined {
    if (this.#retired.size > 0) this.#retired.delete(key)
    return this.#chunks.get(key)
  }

  has(key: string): boolean {
    return this.#chunks.has(key)
  }

  /**
   * Memory for a chunk of `length` bytes, owned by the caller until `publish` or `discard`.
   * Evicts unpinned chunks, oldest first; undefined when what is pinned or reserved leaves no
   * room: try again after something was released.
   */
  reserve(length: number): ChunkMemory | undefined {
    let offset = this.#extents.allocate(length)
    while (offset < 0) {
      const victim = this.#oldestUnpinned()
      if (victim === undefined) return undefined
      this.#chunks.delete(victim)
      this.#evictions++
      offset = this.#extents.allocate(length)
    }
    return { offset, length, bytes: this.#bytes.subarray(offset, offset + length), cached: false }
  }

  /** Puts decoded and verified memory into the cache under its digest. */
  publish(key: string, memory: ChunkMemory): void {
    this.#chunks.set(key, { ...memory, pins: 0, cached: true })
  }

  /** Gives reserved memory back unused. */
  discard(memory: ChunkMemory): void {
    this.#extents.release(memory.offset, memory.length)
  }

  /** Keeps the chunk's bytes where they are until the returned function is called, once. */
  pin(key: string): () => void {
    const chunk = this.#chunks.get(key)
    if (chunk === undefined) throw new Error('pin of a chunk that is not cached')
    if (chunk.pins++ === 0) this.#pinnedBytes += chunk.length
    return () => {
      if (--chunk.pins > 0) return
      this.#pinnedBytes -= chunk.length
      if (!chunk.cached) this.#extents.release(chunk.offset, chunk.length)
    }
  }

  /**
   * A reader has gone past this chunk. Unless somebody asks for it, it goes when a few others have been retired: so what is read
   * once leaves those chunks in the cache that are read again, and uses the same memory over and over.
   */
  retire(key: string): void {
    if (this.#retired.has(key) || !this.#chunks.has(key)) return
    this.#retired.add(key)
    if (this.#retired.size > RETIRED) this.#chunks.delete(this.#retired.values().next().value!)
  }

  /** Lets go of a chunk before its time, as after a pass that will not come back. */
  drop(key: string): void {
    this.#chunks.delete(key)
  }

  /** Bytes of chunks that are pinned. */
  get pinnedBytes(): number {
    return this.#pinnedBytes
  }

  stats(): { sizeBytes: number; usedBytes: number; chunks: number; evictions: number } {
    return {
      sizeBytes: this.#extents.size,
      usedBytes: this.#extents.size - this.#extents.freeBytes,
      chunks: this.#chunks.size,
      evictions: this.#evictions,
    }
  }

  #oldestUnpinned(): string | undefined {
    for (const key of this.#chunks.rkeys()) {
      if (this.#chunks.peek(key)!.pins === 0) return key
    }
    return undefined
  }
}

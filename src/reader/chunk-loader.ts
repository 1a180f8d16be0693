import type { ChunkCache, ChunkMemory } from '../cache/chunk-cache.js'
import { AbortedError, IntegrityError, SourceError } from '../errors/errors.js'
import { hex } from '../bytes/names.js'
import type { DecodeEnd, DecodePool, DecodeWork, Priority } from '../workers/decode-pool.js'
import type { Answer } from '../workers/messages.js'

/** One chunk of one stream: what an index says about it. */
export interface ChunkRef {
  /** The cache key: the digest, and what kind of chunk it must come from. */
  readonly key: string
  readonly digest: Uint8Array
  /** Decoded length in bytes. */
  readonly length: number
  /** Whether its archive is; undefined: chunks of both kinds are taken. */
  readonly encrypted: boolean | undefined
  /** The key of the archive, when there is one. */
  readonly keyId?: number | undefined
  /** Who asks, for messages. */
  readonly stream: string
}

/** Somebody who needs a chunk. Exactly one of its methods but `answer` is called, once. */
export interface ChunkWaiter {
  /** The chunk is in the cache; it stays there for the time of this call: copy, send or pin. */
  ready(chunk: ChunkMemory): void
  fail(error: unknown): void
  /** A reply that is complete with this chunk, for the decode thread to send; asked at most once. */
  answer?(target: ChunkMemory): Answer | undefined
  /** The thread has sent it. */
  answered?(): void
}

/** Somebody who keeps chunks in place while waiting for others. */
export interface ChunkHolder {
  /** The cache is full of what is held: copy what is needed and unpin it, or nobody gets on. */
  letGo(): void
}

/** `source`: number of the one that had the chunk; `error`: what was wrong in the first. */
export type SubstituteReport = (ref: ChunkRef, source: number, error: Error) => void

interface Load {
  readonly ref: ChunkRef
  readonly waiters: ChunkWaiter[]
  /** Waiters whose answers went along with the request. */
  answering: ChunkWaiter[]
  memory: ChunkMemory | undefined
  work: DecodeWork | undefined
  priority: Priority
  /** performance.now() when it was asked for. */
  readonly since: number
}

/**
 * The one door to chunks: from the cache, or read, decoded and verified by the pool. However
 * many ask for a chunk, it is loaded once; a failure reaches all who asked and is forgotten.
 */
export class ChunkLoader {
  readonly #cache: ChunkCache
  readonly #pool: DecodePool
  readonly #loads = new Map<string, Load>()
  /** Loads that found no room in the cache, oldest first. */
  readonly #starved: Load[] = []
  readonly #holders = new Set<ChunkHolder>()
  #hits = 0
  #misses = 0

  readonly #onSubstitute: SubstituteReport | undefined

  /** `onSubstitute` hears of each chunk that came from another source than the first. */
  constructor(cache: ChunkCache, pool: DecodePool, onSubstitute?: SubstituteReport) {
    this.#onSubstitute = onSubstitute
    this.#cache = cache
    this.#pool = pool
  }

  /** The chunk's bytes if it is cached; valid until control returns to the event loop. */
  peek(ref: ChunkRef): ChunkMemory | undefined {
    const chunk = this.#cache.get(ref.key)
    if (chunk === undefined) return undefined
    this.#hits++
    if (chunk.length !== ref.length) throw lengthMismatch(ref, chunk.length)
    return chunk
  }

  /** Keeps a cached chunk in place until the returned function is called; see `addHolder`. */
  pin(ref: ChunkRef): () => void {
    const unpin = this.#cache.pin(ref.key)
    return () => {
      unpin()
      this.#feed()
    }
  }

  /** Whether a chunk may stay pinned for as long as somebody else likes: half of the cache stays free for loads. */
  get canLend(): boolean {
    return this.#cache.pinnedBytes < this.#cache.memory.byteLength / 2
  }

  /** Who has pinned chunks and waits for another one must be known here, until it waits no more. */
  addHolder(holder: ChunkHolder): void {
    this.#holders.add(holder)
  }

  removeHolder(holder: ChunkHolder): void {
    this.#holders.delete(holder)
  }

  /** Calls the waiter when the chunk is there; at once when it is cached. */
  request(ref: ChunkRef, priority: Priority, waiter: ChunkWaiter): void {
    const load = this.#loads.get(loadKey(ref))
    if (load !== undefined) {
      load.waiters.push(waiter)
      load.priority = priority
      if (load.work !== undefined) this.#pool.promote(load.work, priority)
      return
    }
    let cached: ChunkMemory | undefined
    try {
      cached = this.peek(ref)
    } catch (error) {
      waiter.fail(error)
      return
    }
    if (cached !== undefined) {
      waiter.ready(cached)
      return
    }
    this.#misses++
    this.#begin(ref, priority, [waiter])
  }

  /** Copies `[from, to)` of the chunk to `out[at, ...)`. */
  copy(ref: ChunkRef, from: number, to: number, out: Uint8Array, at: number, priority: Priority): Promise<void> {
    return new Promise((resolve, reject) => {
      this.request(ref, priority, {
        ready: (chunk) => {
          out.set(chunk.bytes.subarray(from, to), at)
          resolve()
        },
        fail: reject,
      })
    })
  }

  /** Starts loading what will probably be wanted, unless it is there, under way, or there is no room. */
  prefetch(ref: ChunkRef): void {
    if (this.#cache.has(ref.key) || this.#loads.has(loadKey(ref)) || this.#starved.length > 0) return
    this.#begin(ref, 'prefetch', [])
  }

  /** A reader has gone past a chunk: it is among the first to go. */
  retire(ref: ChunkRef): void {
    this.#cache.retire(ref.key)
    this.#feed()
  }

  /** Lets go of a cached chunk that will not be needed again soon. */
  drop(ref: ChunkRef): void {
    this.#cache.drop(ref.key)
    this.#feed()
  }

  /** The load that has been waiting longest: storage that does not answer shows here. */
  oldest(): { stream: string; digest: string; seconds: number } | undefined {
    for (const load of this.#loads.values()) {
      const seconds = (performance.now() - load.since) / 1000
      return { stream: load.ref.stream, digest: hex(load.ref.digest), seconds }
    }
    return undefined
  }

  stats(): { hits: number; misses: number; loading: number; starved: number } {
    return { hits: this.#hits, misses: this.#misses, loading: this.#loads.size, starved: this.#starved.length }
  }

  #begin(ref: ChunkRef, priority: Priority, waiters: ChunkWaiter[]): void {
    const load: Load = {
      ref, waiters, priority, answering: [], memory: undefined, work: undefined, since: performance.now(),
    } // prettier-ignore
    this.#loads.set(loadKey(ref), load)
    this.#start(load)
  }

  #start(load: Load): void {
    const { ref } = load
    const memory = this.#reserve(load)
    if (memory === undefined) {
      if (load.waiters.length === 0) {
        this.#loads.delete(loadKey(ref))
      } else if (this.#loads.size - this.#starved.length <= 1 && !this.#cache.stats().chunks) {
        this.#loads.delete(loadKey(ref))
        const error = new SourceError('the chunk cache is smaller than one chunk; use a larger --cache-size', {
          stream: ref.stream,
          expected: ref.length,
        })
        for (const waiter of load.waiters) waiter.fail(error)
      } else {
        this.#starved.push(load)
      }
      return
    }
    load.memory = memory
    load.work = {
      // A view of an index would take the whole index along to the thread.
      digest: Uint8Array.from(ref.digest),
      offset: memory.offset,
      length: ref.length,
      encrypted: ref.encrypted,
      keyId: ref.keyId,
      stream: ref.stream,
      priority: load.priority,
      started: false,
      takeAnswers: () => this.#takeAnswers(load, memory),
      finish: (result) => this.#finish(load, memory, result),
    }
    this.#pool.submit(load.work)
  }

  /** Room for the chunk. For one that somebody waits for, those who hold others while they wait let go of them. */
  #reserve({ ref, waiters }: Load): ChunkMemory | undefined {
    const memory = this.#cache.reserve(ref.length)
    if (memory !== undefined || waiters.length === 0) return memory
    for (const holder of [...this.#holders]) holder.letGo()
    return this.#cache.reserve(ref.length)
  }

  #takeAnswers(load: Load, memory: ChunkMemory): Answer[] {
    const answers: Answer[] = []
    for (const waiter of load.waiters.splice(0)) {
      const answer = waiter.answer?.(memory)
      if (answer === undefined) {
        load.waiters.push(waiter)
      } else {
        answers.push(answer)
        load.answering.push(waiter)
      }
    }
    return answers
  }

  #finish(load: Load, memory: ChunkMemory, result: DecodeEnd): void {
    this.#loads.delete(loadKey(load.ref))
    if (result.substitute !== undefined) this.#onSubstitute?.(load.ref, result.substitute.source, result.substitute.error)
    if (result.error !== undefined) {
      this.#cache.discard(memory)
      for (const waiter of [...load.answering, ...load.waiters]) waiter.fail(result.error)
    } else {
      // Another length of the same digest cannot pass verification, so this is the one chunk of that digest.
      if (this.#cache.has(load.ref.key)) this.#cache.discard(memory)
      else this.#cache.publish(load.ref.key, memory)
      this.#deliver(load, result.unsent)
    }
    this.#feed()
  }

  #deliver(load: Load, unsent: readonly number[]): void {
    // A waiter may ask for more and so evict; this chunk stays until all have had it.
    const unpin = this.#cache.pin(load.ref.key)
    const chunk = this.#cache.get(load.ref.key)!
    load.answering.forEach((waiter, i) => {
      if (unsent.includes(i)) waiter.fail(new AbortedError('the caller went away'))
      else waiter.answered?.()
    })
    for (const waiter of load.waiters) waiter.ready(chunk)
    unpin()
  }

  /** Memory may have come free: lets waiting loads try again, in order. */
  #feed(): void {
    if (this.#starved.length === 0) return
    const waiting = this.#starved.splice(0)
    for (const load of waiting) this.#start(load)
  }
}

function loadKey(ref: ChunkRef): string {
  return `${ref.key}:${ref.length}`
}

function lengthMismatch(ref: ChunkRef, actual: number): IntegrityError {
  return new IntegrityError(`${ref.stream}: the index gives chunk ${hex(ref.digest)} a wrong length`, {
    stream: ref.stream,
    digest: hex(ref.digest),
    expected: actual,
    actual: ref.length,
  })
}

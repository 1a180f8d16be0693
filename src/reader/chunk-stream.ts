import { createHash } from 'node:crypto'
import type { DirectReply, LentBytes, LostRange, ReadAt, Salvaged, SharedRange, StreamChunks } from '../bytes/read-at.js'
import { replaceFields, TruncatedError } from '../errors/errors.js'
import { isDamage } from '../errors/is-damage.js'
import type { ChunkMemory } from '../cache/chunk-cache.js'
import type { ChunkIndex } from '../index/chunk-index.js'
import { mapZeros, ZeroChunks } from '../index/zero-chunks.js'
import type { ZeroMap } from '../index/zero-map.js'
import type { ChunkLoader, ChunkRef } from './chunk-loader.js'
import { Delivery, type DeliveryPart } from './delivery.js'
import { Loan } from './loan.js'
import { SequentialDetector } from './sequential.js'
import { zeroView } from './zeros.js'

export interface ChunkStreamOptions {
  /** What the manifest says of the archive; undefined: chunks of both kinds are taken. */
  readonly encrypted: boolean | undefined
  /** Number of the archive's key among those of the decode threads. */
  readonly keyId?: number | undefined
  /** See `StreamChunks`. */
  readonly digestDomain?: string | undefined
  /** Which chunks are all zeros; an encrypted archive without its key has none that can be told. */
  readonly zeros?: ZeroChunks
  /** Chunks loaded ahead of a sequential reader. */
  readonly readahead: number
  /** Descriptor that `deliver` writes to; without it the stream has no `deliver`. */
  readonly replyFd?: number
}

const PLAIN_ZEROS = new ZeroChunks()

/** Looks into one chunk before the cache hears again that it is in use. */
const LOOKS = 256

/** Chunks behind a sequential reader that may still be loading for it: its requests come far ahead of their answers. */
const LAG = 4

/** Reads up to this size look for something, as in a directory: they go before those that carry content. */
const SMALL_READ = 256 * 1024

/** Chunks one `read` has under way at once. */
const READ_WINDOW = 4

/** An archive, payload or image as a stream: an index over chunks that any archive may share. */
export class ChunkStream implements ReadAt {
  readonly name: string
  readonly size: number
  readonly deliver?: (offset: number, length: number, reply: DirectReply) => void
  readonly #index: ChunkIndex
  readonly #loader: ChunkLoader
  readonly #options: ChunkStreamOptions
  readonly #zeros: ZeroChunks | undefined
  /** A plain chunk must not stand in for an encrypted one, nor one key's chunk for another's. */
  readonly #keySuffix: string
  readonly #sequential = new SequentialDetector()
  /** The chunk used last, so that neighbouring small reads skip the search. */
  #last = 0
  /** The cached chunk looked into last. */
  #held: { readonly i: number; readonly chunk: ChunkMemory; looks: number } | undefined
  /** First chunk that has not been asked for ahead of the current reader. */
  #aheadUntil = 0
  #zeroMap: ZeroMap | undefined

  constructor(name: string, index: ChunkIndex, loader: ChunkLoader, options: ChunkStreamOptions) {
    this.name = name
    this.size = index.size
    this.#index = index
    this.#loader = loader
    this.#options = options
    this.#keySuffix = suffixOf(options)
    this.#zeros = options.zeros ?? (options.encrypted === false ? PLAIN_ZEROS : undefined)
    const fd = options.replyFd
    if (fd !== undefined) this.deliver = (offset, length, reply) => this.#deliver(fd, offset, length, reply)
  }

  /** Memory the index takes, about. */
  get indexBytes(): number {
    return this.#index.memoryBytes ?? this.#index.count * 40 + 4096
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    if (offset + length > this.size) return undefined
    const i = this.#chunkAt(offset)
    const from = offset - this.#index.startOf(i)
    const to = from + length
    if (offset + length > this.#index.endOf(i)) return undefined
    const held = this.#held
    if (held !== undefined && held.i === i && held.chunk.cached && --held.looks > 0) return held.chunk.bytes.subarray(from, to)
    if (this.#isZero(i)) return length <= zeroView.length ? zeroView.subarray(0, length) : undefined
    if (this.#isPending(i)) return undefined
    const chunk = this.#loader.peek(this.#ref(i))
    if (chunk === undefined) return undefined
    this.#held = { i, chunk, looks: LOOKS }
    return chunk.bytes.subarray(from, to)
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.#check(offset, length)
    const out = new Uint8Array(length)
    if (length === 0) return out
    const last = this.#chunkAt(offset + length - 1)
    const first = this.#chunkAt(offset)
    const copies: Promise<void>[] = []
    for (let i = first; i <= last; i++) {
      if (copies.length >= READ_WINDOW) await copies[copies.length - READ_WINDOW]
      copies.push(this.#copyChunk(i, offset, out))
    }
    await Promise.all(copies)
    return out
  }

  async salvage(offset: number, length: number): Promise<Salvaged> {
    this.#check(offset, length)
    const bytes = new Uint8Array(length)
    const lost: LostRange[] = []
    if (length === 0) return { bytes, lost }
    const last = this.#chunkAt(offset + length - 1)
    for (let i = this.#chunkAt(offset); i <= last; i++) {
      try {
        await this.#copyChunk(i, offset, bytes)
      } catch (error) {
        if (!isDamage(error)) throw error
        const from = Math.max(offset, this.#index.startOf(i))
        lost.push({ offset: from, length: Math.min(offset + length, this.#index.endOf(i)) - from, error })
      }
    }
    return { bytes, lost }
  }

  lend(offset: number, length: number): LentBytes | Promise<LentBytes> {
    this.#check(offset, length)
    const wait = this.#pendingIn(offset, length)
    if (wait !== undefined) return wait.then(() => this.lend(offset, length))
    const lent = new Loan(this.name, this.#loader, this.#partsOf(offset, length)).start()
    if (length > 0) this.noteRead(offset, length)
    return lent
  }

  share(offset: number, length: number): SharedRange | undefined {
    if (length === 0 || offset + length > this.size) return undefined
    const i = this.#chunkAt(offset)
    if (offset + length > this.#index.endOf(i) || this.#isZero(i) || this.#isPending(i)) return undefined
    const ref = this.#ref(i)
    const chunk = this.#loader.peek(ref)
    if (chunk === undefined) return undefined
    return { offset: chunk.offset + offset - this.#index.startOf(i), release: this.#loader.pin(ref) }
  }

  noteRead(offset: number, length: number, again = false): void {
    if (!this.#sequential.note(offset, length)) return
    const current = this.#chunkAt(offset + length - 1)
    this.#loadAhead(current)
    if (again) return
    for (let i = Math.max(0, this.#index.chunkAt(offset) - 1 - LAG); i < current - LAG; i++) {
      if (!this.#isZero(i) && !this.#isPending(i)) this.#loader.retire(this.#ref(i))
    }
  }

  expect(offset: number): number {
    if (offset < 0 || offset >= this.size) return this.size
    const i = this.#index.chunkAt(offset)
    if (!this.#isZero(i) && !this.#isPending(i)) this.#loader.prefetch(this.#ref(i))
    return this.#index.endOf(i)
  }

  identify(offset: number, length: number): string | undefined {
    if (length === 0) return ''
    if (offset + length > this.size) return undefined
    const first = this.#index.chunkAt(offset)
    const last = this.#index.chunkAt(offset + length - 1)
    if (this.#index.pending?.(first, last) !== undefined) return undefined
    const hash = createHash('sha256')
    for (let i = first; i <= last; i++) {
      const start = this.#index.startOf(i)
      hash.update(this.#index.digestAt(i))
      hash.update(`${Math.max(offset, start) - start}+${Math.min(offset + length, this.#index.endOf(i)) - start};`)
    }
    return hash.digest('base64')
  }

  get chunks(): StreamChunks {
    const index = this.#index
    return {
      count: index.count,
      chunkSize: index.chunkSize,
      csum: index.csum,
      digestDomain: this.#options.digestDomain,
      digestsFrom: (i) => index.digestsFrom?.(i) ?? index.digestAt(i),
      pending: (i) => index.pending?.(i, i),
    }
  }

  nextData(offset: number): number {
    return this.#next(offset, false)
  }

  nextHole(offset: number): number {
    return this.#next(offset, true)
  }

  countData(offset: number, length: number): number {
    const end = Math.min(offset + length, this.size)
    let sum = 0
    for (let at = this.nextData(offset); at < end; ) {
      const hole = Math.min(this.nextHole(at), end)
      sum += hole - at
      at = hole < end ? this.nextData(hole) : end
    }
    return sum
  }

  #next(offset: number, zero: boolean): number {
    if (offset >= this.size) return this.size
    const i = this.#zeroChunks().next(this.#index.chunkAt(offset), zero)
    return i < this.#index.count ? Math.max(offset, this.#index.startOf(i)) : this.size
  }

  #zeroChunks(): ZeroMap {
    return (this.#zeroMap ??= this.#index.zeroMap ?? mapZeros(this.#index, this.#zeros))
  }

  async #copyChunk(i: number, offset: number, out: Uint8Array): Promise<void> {
    const start = this.#index.startOf(i)
    const from = Math.max(offset, start)
    const to = Math.min(offset + out.length, this.#index.endOf(i))
    if (this.#isZero(i)) return
    try {
      for (let wait = this.#index.pending?.(i, i); wait !== undefined; wait = this.#index.pending?.(i, i)) await wait
      await this.#loader.copy(this.#ref(i), from - start, to - start, out, from - offset, out.length <= SMALL_READ ? 'urgent' : 'demand')
    } catch (error) {
      throw replaceFields(error, { stream: this.name, offset: from, length: to - from })
    }
  }

  #deliver(fd: number, offset: number, length: number, reply: DirectReply): void {
    const wait = this.#pendingIn(offset, length)
    if (wait !== undefined) {
      wait.then(() => this.#deliver(fd, offset, length, reply)).catch((error: unknown) => reply.fail(error))
      return
    }
    new Delivery(this.name, fd, this.#loader, this.#partsOf(offset, length), reply).start()
    if (length > 0) this.noteRead(offset, length)
  }

  /** What to wait for before the chunks of the range are known. */
  #pendingIn(offset: number, length: number): Promise<void> | undefined {
    return length === 0 ? undefined : this.#index.pending?.(this.#chunkAt(offset), this.#chunkAt(offset + length - 1))
  }

  #partsOf(offset: number, length: number): DeliveryPart[] {
    const parts: DeliveryPart[] = []
    const first = this.#chunkAt(offset)
    const last = length === 0 ? first - 1 : this.#chunkAt(offset + length - 1)
    for (let i = first; i <= last; i++) {
      const start = this.#index.startOf(i)
      const from = Math.max(offset, start) - start
      const to = Math.min(offset + length, this.#index.endOf(i)) - start
      parts.push({ ref: this.#isZero(i) ? undefined : this.#ref(i), from, to, offset: start + from })
    }
    return parts
  }

  #loadAhead(current: number): void {
    const until = Math.min(current + 1 + this.#options.readahead, this.#index.count)
    // Behind a jump the mark of another reader does not count.
    const from = this.#aheadUntil > current && this.#aheadUntil <= until ? this.#aheadUntil : current + 1
    for (let i = from; i < until; i++) {
      if (!this.#isZero(i) && !this.#isPending(i)) this.#loader.prefetch(this.#ref(i))
    }
    this.#aheadUntil = until
  }

  #chunkAt(offset: number): number {
    const last = this.#last
    if (offset >= this.#index.startOf(last) && offset < this.#index.endOf(last)) return last
    this.#last = this.#index.chunkAt(offset)
    return this.#last
  }

  /** Is the entry not in memory? It will be soon then; whoever needs it hears of what goes wrong. */
  #isPending(i: number): boolean {
    const wait = this.#index.pending?.(i, i)
    wait?.catch(() => undefined)
    return wait !== undefined
  }

  #isZero(i: number): boolean {
    if (this.#index.zeroMap !== undefined) return this.#index.zeroMap.has(i)
    return this.#zeros?.has(this.#index, i) ?? false
  }

  #ref(i: number): ChunkRef {
    return {
      key: this.#index.keyAt(i) + this.#keySuffix,
      digest: this.#index.digestAt(i),
      length: this.#index.endOf(i) - this.#index.startOf(i),
      encrypted: this.#options.encrypted,
      keyId: this.#options.keyId,
      stream: this.name,
    }
  }

  #check(offset: number, length: number): void {
    if (offset < 0 || length < 0 || offset + length > this.size) {
      throw new TruncatedError(`${this.name}: bytes ${offset}+${length} lie outside the stream`, {
        stream: this.name,
        offset,
        expected: length,
        actual: Math.max(0, this.size - offset),
      })
    }
  }
}

function suffixOf({ encrypted, keyId }: ChunkStreamOptions): string {
  return encrypted === false ? '' : `${encrypted === true ? 'e' : 'x'}${keyId ?? ''}`
}

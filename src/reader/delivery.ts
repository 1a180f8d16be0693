import { writevSync } from 'node:fs'
import type { DirectReply } from '../bytes/read-at.js'
import type { ChunkMemory } from '../cache/chunk-cache.js'
import { AbortedError, replaceFields } from '../errors/errors.js'
import type { Answer } from '../workers/messages.js'
import type { ChunkHolder, ChunkLoader, ChunkRef, ChunkWaiter } from './chunk-loader.js'
import { zeroViews } from './zeros.js'

/** How the write of a reply fails that nobody waits for: its request was withdrawn, or the mount has gone. */
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ENODEV', 'ECONNABORTED'])

/** Bytes `[from, to)` of a chunk; a part without chunk is zeros. `offset`: in the stream, for messages. */
export interface DeliveryPart {
  readonly ref: ChunkRef | undefined
  readonly from: number
  readonly to: number
  readonly offset: number
}

/**
 * One reply on its way: waits until every chunk it needs is in the cache, then goes out in one
 * write. A reply that lacks a single chunk is sent by the thread that decodes it.
 */
export class Delivery implements ChunkHolder {
  readonly #name: string
  readonly #fd: number
  readonly #loader: ChunkLoader
  readonly #parts: readonly DeliveryPart[]
  readonly #reply: DirectReply
  readonly #chunks: (ChunkMemory | undefined)[]
  readonly #unpins: (() => void)[] = []
  /** Parts of chunks that were let go. */
  readonly #copies: (Uint8Array | undefined)[]
  /** A thread reads the chunks that are held. */
  #answering = false
  #missing = 0
  #ended = false

  constructor(name: string, fd: number, loader: ChunkLoader, parts: readonly DeliveryPart[], reply: DirectReply) {
    this.#name = name
    this.#fd = fd
    this.#loader = loader
    this.#parts = parts
    this.#reply = reply
    this.#chunks = new Array<ChunkMemory | undefined>(parts.length)
    this.#copies = new Array<Uint8Array | undefined>(parts.length)
  }

  start(): void {
    const missing: number[] = []
    try {
      this.#parts.forEach((part, i) => {
        if (part.ref === undefined) return
        const chunk = this.#loader.peek(part.ref)
        if (chunk === undefined) missing.push(i)
        else this.#hold(i, part.ref, chunk)
      })
    } catch (error) {
      this.#fail(error)
      return
    }
    this.#missing = missing.length
    if (missing.length === 0) return this.#send()
    this.#loader.addHolder(this)
    for (const i of missing) {
      if (this.#ended) return
      const part = this.#parts[i]!
      this.#loader.request(part.ref!, 'demand', this.#waiter(i, part, part.ref!))
    }
  }

  letGo(): void {
    if (this.#answering || this.#ended) return
    this.#parts.forEach(({ from, to }, i) => {
      const chunk = this.#chunks[i]
      if (chunk === undefined) return
      this.#copies[i] = new Uint8Array(chunk.bytes.subarray(from, to))
      this.#chunks[i] = undefined
    })
    for (const unpin of this.#unpins.splice(0)) unpin()
  }

  #hold(i: number, ref: ChunkRef, chunk: ChunkMemory): void {
    this.#chunks[i] = chunk
    this.#unpins.push(this.#loader.pin(ref))
  }

  #waiter(i: number, part: DeliveryPart, ref: ChunkRef): ChunkWaiter {
    return {
      ready: (chunk) => {
        if (this.#ended) return
        this.#hold(i, ref, chunk)
        this.#missing--
        if (this.#missing === 0) this.#reply.ready(() => this.#send())
      },
      fail: (error) => this.#fail(replaceFields(error, { stream: this.#name, offset: part.offset, length: part.to - part.from })),
      answer: (target) => (this.#missing === 1 && !this.#ended ? this.#answer(i, target) : undefined),
      answered: () => this.#end(() => this.#reply.done()),
    }
  }

  #send(): void {
    if (this.#ended) return
    const views: Uint8Array[] = [this.#reply.header]
    this.#parts.forEach((part, i) => {
      const chunk = this.#chunks[i]
      const copy = this.#copies[i]
      if (copy !== undefined) views.push(copy)
      else if (chunk === undefined) views.push(...zeroViews(part.to - part.from))
      else views.push(chunk.bytes.subarray(part.from, part.to))
    })
    try {
      writevSync(this.#fd, views)
    } catch (error) {
      const gone = GONE.has((error as NodeJS.ErrnoException).code ?? '')
      this.#fail(gone ? new AbortedError('the caller went away', {}, { cause: error }) : error)
      return
    }
    this.#end(() => this.#reply.done())
  }

  /** The whole reply as ranges of the cache's memory; undefined when a part of it lies elsewhere. */
  #answer(missing: number, target: ChunkMemory): Answer | undefined {
    const ranges: number[] = []
    for (const [i, part] of this.#parts.entries()) {
      const chunk = i === missing ? target : this.#chunks[i]
      if (chunk === undefined) return undefined
      ranges.push(chunk.offset + part.from, part.to - part.from)
    }
    this.#answering = true
    return { header: this.#reply.header, ranges }
  }

  #fail(error: unknown): void {
    this.#end(() => this.#reply.fail(error))
  }

  #end(report: () => void): void {
    if (this.#ended) return
    this.#ended = true
    this.#loader.removeHolder(this)
    for (const unpin of this.#unpins) unpin()
    report()
  }
}

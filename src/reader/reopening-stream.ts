import type { DirectReply, LentBytes, ReadAt, Salvaged, SharedRange, StreamChunks } from '../bytes/read-at.js'
import type { ChunkStream } from './chunk-stream.js'

/**
 * A stream whose index is in memory only while it is used: `open` hands out the open stream
 * or opens it anew. So a tree may hold a stream of every archive it ever showed.
 */
export class ReopeningStream implements ReadAt {
  readonly name: string
  /** As the manifest says, until the index is open. */
  size: number
  readonly deliver?: (offset: number, length: number, reply: DirectReply) => void
  readonly #openIndex: () => ChunkStream | Promise<ChunkStream>

  constructor(name: string, size: number, delivers: boolean, open: () => ChunkStream | Promise<ChunkStream>) {
    this.name = name
    this.size = size
    this.#openIndex = open
    if (delivers) this.deliver = (offset, length, reply) => this.#deliver(offset, length, reply)
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    return this.#opened()?.peek(offset, length)
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return (await this.#open()).read(offset, length)
  }

  async salvage(offset: number, length: number): Promise<Salvaged> {
    return (await this.#open()).salvage(offset, length)
  }

  lend(offset: number, length: number): LentBytes | Promise<LentBytes> {
    const stream = this.#open()
    return stream instanceof Promise ? stream.then((opened) => opened.lend(offset, length)) : stream.lend(offset, length)
  }

  share(offset: number, length: number): SharedRange | undefined {
    return this.#opened()?.share(offset, length)
  }

  noteRead(offset: number, length: number, again?: boolean): void {
    this.#opened()?.noteRead(offset, length, again)
  }

  expect(offset: number): number {
    return this.#opened()?.expect(offset) ?? this.size
  }

  identify(offset: number, length: number): string | undefined {
    return this.#opened()?.identify(offset, length)
  }

  get chunks(): StreamChunks | undefined {
    return this.#opened()?.chunks
  }

  nextData(offset: number): number {
    return this.#opened()?.nextData(offset) ?? offset
  }

  nextHole(offset: number): number {
    return this.#opened()?.nextHole(offset) ?? this.size
  }

  countData(offset: number, length: number): number {
    return this.#opened()?.countData(offset, length) ?? length
  }

  prepare(): Promise<void> | undefined {
    const stream = this.#open()
    return stream instanceof Promise ? stream.then(() => undefined) : undefined
  }

  #open(): ChunkStream | Promise<ChunkStream> {
    const stream = this.#openIndex()
    if (stream instanceof Promise) return stream.then((opened) => this.#note(opened))
    return this.#note(stream)
  }

  #note(stream: ChunkStream): ChunkStream {
    this.size = stream.size
    return stream
  }

  #opened(): ChunkStream | undefined {
    const stream = this.#open()
    if (!(stream instanceof Promise)) return stream
    // Whoever reads will hear of it.
    stream.catch(() => undefined)
    return undefined
  }

  #deliver(offset: number, length: number, reply: DirectReply): void {
    const stream = this.#open()
    if (!(stream instanceof Promise)) {
      stream.deliver!(offset, length, reply)
      return
    }
    stream.then(
      (opened) => opened.deliver!(offset, length, reply),
      (error: unknown) => reply.fail(error),
    )
  }
}

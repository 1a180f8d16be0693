import { lendBytes, ownBytes } from '../bytes/lend-bytes.js'
import type { DirectReply, LentBytes, LostRange, ReadAt, SharedRange, StreamChunks } from '../bytes/read-at.js'
import { salvageBlocks } from '../bytes/salvage-blocks.js'
import { isDamage } from '../errors/is-damage.js'

/** Who hears of every range that was read as zeros because its bytes are lost. */
export type LossReport = (lost: LostRange) => void

/**
 * Contents of files with zeros where the stored bytes are lost. Only for what a person reads: a
 * decoder over zeros would take damage for an empty place.
 */
export class ZeroFilledStream implements ReadAt {
  readonly name: string
  readonly deliver?: (offset: number, length: number, reply: DirectReply) => void
  readonly #stream: ReadAt
  readonly #report: LossReport
  #lostBytes = 0

  constructor(stream: ReadAt, report: LossReport) {
    this.name = stream.name
    this.#stream = stream
    this.#report = report
    if (stream.deliver !== undefined) this.deliver = (offset, length, reply) => this.#deliver(offset, length, reply)
  }

  get size(): number {
    return this.#stream.size
  }

  get lostBytes(): number {
    return this.#lostBytes
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    return this.#stream.peek(offset, length)
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    try {
      return await this.#stream.read(offset, length)
    } catch (error) {
      if (!isDamage(error)) throw error
      return this.#salvage(offset, length)
    }
  }

  lend(offset: number, length: number): LentBytes | Promise<LentBytes> {
    const instead = (error: unknown): Promise<LentBytes> => {
      if (!isDamage(error)) throw error
      return this.#salvage(offset, length).then(ownBytes)
    }
    try {
      const lent = lendBytes(this.#stream, offset, length)
      return lent instanceof Promise ? lent.catch(instead) : lent
    } catch (error) {
      return instead(error)
    }
  }

  nextData(offset: number): number {
    return this.#stream.nextData?.(offset) ?? offset
  }

  nextHole(offset: number): number {
    return this.#stream.nextHole?.(offset) ?? this.size
  }

  countData(offset: number, length: number): number {
    return this.#stream.countData?.(offset, length) ?? length
  }

  /** Only what was read whole. */
  share(offset: number, length: number): SharedRange | undefined {
    return this.#stream.share?.(offset, length)
  }

  noteRead(offset: number, length: number, again?: boolean): void {
    this.#stream.noteRead?.(offset, length, again)
  }

  /** As they were backed up, whatever is left of them. */
  get chunks(): StreamChunks | undefined {
    return this.#stream.chunks
  }

  prepare(): Promise<void> | undefined {
    return this.#stream.prepare?.()
  }

  async #salvage(offset: number, length: number): Promise<Uint8Array> {
    const { bytes, lost } = await (this.#stream.salvage?.(offset, length) ?? salvageBlocks(this.#stream, offset, length))
    for (const range of lost) {
      this.#lostBytes += range.length
      this.#report(range)
    }
    return bytes
  }

  #deliver(offset: number, length: number, reply: DirectReply): void {
    this.#stream.deliver!(offset, length, {
      header: reply.header,
      ready: (send) => reply.ready(send),
      done: () => reply.done(),
      send: (bytes) => reply.send(bytes),
      fail: (error) => {
        if (!isDamage(error)) return reply.fail(error)
        this.#salvage(offset, length).then(
          (bytes) => reply.send(bytes),
          (failure: unknown) => reply.fail(failure),
        )
      },
    })
  }
}

import { lendBytes, ownBytes } from '../bytes/lend-bytes.js'
import type { DirectReply, LentBytes, LostRange, ReadAt, Salvaged } from '../bytes/read-at.js'
import { TruncatedError } from '../errors/errors.js'
import { salvageBlocks } from '../bytes/salvage-blocks.js'
import type { Span } from './span.js'

/** A piece of a volume; without a stream it is zeros. */
export interface Extent {
  readonly stream: ReadAt | undefined
  /** First byte in the stream. */
  readonly start: number
  /** Bytes. */
  readonly length: number
}

const ZEROS = new Uint8Array(64 * 1024)

/**
 * Ranges of other streams, one behind the other, as a stream: a partition, a logical volume.
 * Nothing is copied and holes stay holes; what lies in one range is sent by the stream it lies in.
 */
export class ExtentStream implements ReadAt {
  readonly name: string
  readonly size: number
  readonly deliver?: (offset: number, length: number, reply: DirectReply) => void
  readonly #extents: readonly Extent[]
  /** First byte behind each extent, ascending. */
  readonly #ends: Float64Array
  readonly #streams: readonly ReadAt[]

  /** The extents lie inside their streams and hold at least one byte each. */
  constructor(name: string, extents: readonly Extent[]) {
    this.name = name
    this.#extents = joinNeighbours(extents)
    this.#ends = new Float64Array(this.#extents.length)
    let end = 0
    this.#extents.forEach((extent, i) => (this.#ends[i] = end += extent.length))
    this.size = end
    this.#streams = [...new Set(this.#extents.flatMap(({ stream }) => (stream === undefined ? [] : [stream])))]
    if (this.#streams.length > 0 && this.#streams.every((stream) => stream.deliver !== undefined)) {
      this.deliver = (offset, length, reply) => this.#deliver(offset, length, reply)
    }
  }

  /** What the volume is made of, neighbours joined. */
  get extents(): readonly Extent[] {
    return this.#extents
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    const i = this.#at(offset)
    const extent = this.#extents[i]
    if (extent === undefined) return length === 0 ? ZEROS.subarray(0, 0) : undefined
    if (offset + length > this.#ends[i]!) return undefined
    if (extent.stream === undefined) return length <= ZEROS.length ? ZEROS.subarray(0, length) : undefined
    return extent.stream.peek(this.#inside(i, offset), length)
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) {
      throw new TruncatedError(`${this.name}: bytes ${offset}+${length} lie outside the stream`, {
        stream: this.name,
        offset,
        expected: length,
        actual: Math.max(0, this.size - offset),
      })
    }
    const first = this.#at(offset)
    const only = this.#extents[first]
    if (only?.stream !== undefined && offset + length <= this.#ends[first]!) {
      return only.stream.read(this.#inside(first, offset), length)
    }
    const out = new Uint8Array(length)
    for (let i = first, done = 0; done < length; i++) {
      const { stream } = this.#extents[i]!
      const part = Math.min(length - done, this.#ends[i]! - offset - done)
      if (stream !== undefined) out.set(await stream.read(this.#inside(i, offset + done), part), done)
      done += part
    }
    return out
  }

  lend(offset: number, length: number): LentBytes | Promise<LentBytes> {
    const i = this.#at(offset)
    const stream = this.#extents[i]?.stream
    if (stream !== undefined && offset + length <= this.#ends[i]!) return lendBytes(stream, this.#inside(i, offset), length)
    return this.read(offset, length).then(ownBytes)
  }

  async salvage(offset: number, length: number): Promise<Salvaged> {
    const bytes = new Uint8Array(length)
    const lost: LostRange[] = []
    for (let i = this.#at(offset), done = 0; done < length && i < this.#extents.length; i++) {
      const { stream } = this.#extents[i]!
      const part = Math.min(length - done, this.#ends[i]! - offset - done)
      if (stream !== undefined) {
        const inside = this.#inside(i, offset + done)
        const found = await (stream.salvage?.(inside, part) ?? salvageBlocks(stream, inside, part))
        bytes.set(found.bytes, done)
        const shift = offset + done - inside
        for (const range of found.lost) lost.push({ ...range, offset: range.offset + shift })
      }
      done += part
    }
    return { bytes, lost }
  }

  nextData(offset: number): number {
    for (let i = this.#at(offset), at = offset; i < this.#extents.length; at = this.#ends[i]!, i++) {
      const { stream, start, length } = this.#extents[i]!
      if (stream === undefined) continue
      if (stream.nextData === undefined) return at
      const found = stream.nextData(this.#inside(i, at))
      if (found < start + length) return at + found - this.#inside(i, at)
    }
    return this.size
  }

  nextHole(offset: number): number {
    for (let i = this.#at(offset), at = offset; i < this.#extents.length; at = this.#ends[i]!, i++) {
      const { stream, start, length } = this.#extents[i]!
      if (stream === undefined) return at
      const found = stream.nextHole?.(this.#inside(i, at)) ?? Infinity
      if (found < start + length) return at + found - this.#inside(i, at)
    }
    return this.size
  }

  countData(offset: number, length: number): number {
    let sum = 0
    const end = Math.min(offset + length, this.size)
    for (let i = this.#at(offset), at = offset; at < end; at = this.#ends[i]!, i++) {
      const { stream } = this.#extents[i]!
      const part = Math.min(end, this.#ends[i]!) - at
      if (stream !== undefined) sum += stream.countData?.(this.#inside(i, at), part) ?? part
    }
    return sum
  }

  noteRead(offset: number, length: number, again?: boolean): void {
    const i = this.#at(offset)
    if (i < this.#ends.length && offset + length <= this.#ends[i]!) this.#extents[i]!.stream?.noteRead?.(this.#inside(i, offset), length, again)
  }

  prepare(): Promise<void> | undefined {
    const waits = this.#streams.flatMap((stream) => stream.prepare?.() ?? [])
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined)
  }

  #deliver(offset: number, length: number, reply: DirectReply): void {
    const i = this.#at(offset)
    const stream = this.#extents[i]?.stream
    if (stream !== undefined && offset + length <= this.#ends[i]!) {
      stream.deliver!(this.#inside(i, offset), length, reply)
      return
    }
    this.read(offset, length).then(
      (bytes) => reply.send(bytes),
      (error: unknown) => reply.fail(error),
    )
  }

  /** The extent that holds `offset`; their number when it is the end. */
  #at(offset: number): number {
    let low = 0
    let high = this.#ends.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#ends[middle]! > offset) high = middle
      else low = middle + 1
    }
    return low
  }

  /** Where byte `offset` of the volume is in the stream of extent `i`. */
  #inside(i: number, offset: number): number {
    const { start, length } = this.#extents[i]!
    return start + offset - (this.#ends[i]! - length)
  }
}

/** One range as a stream. */
export function streamOf(name: string, span: Span): ExtentStream {
  return new ExtentStream(name, span.size === 0 ? [] : [{ stream: span.stream, start: span.start, length: span.size }])
}

function joinNeighbours(extents: readonly Extent[]): Extent[] {
  const joined: Extent[] = []
  for (const extent of extents) {
    const last = joined.at(-1)
    const follows = last !== undefined && last.stream === extent.stream && (last.stream === undefined || last.start + last.length === extent.start)
    if (follows) joined[joined.length - 1] = { ...last, length: last.length + extent.length }
    else joined.push(extent)
  }
  return joined
}

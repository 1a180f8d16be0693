import { RangeList } from '../bytes/range-list.js'
import type { ReadAt, StreamChunks } from '../bytes/read-at.js'
import { asBuffer } from '../bytes/names.js'
import { UnsupportedError } from '../errors/errors.js'

const DIGEST_SIZE = 32

/** Digests that are compared in one go before each is looked at. */
const RUN = 64

/** Digests looked at before the event loop has its turn. */
const SLICE = 64 * 1024

/** An image as one snapshot has it. */
export interface ImageVersion {
  /** For messages. */
  readonly name: string
  readonly size: number
  readonly chunks: StreamChunks | undefined
}

/** The image behind a stream, its index in memory. */
export async function imageVersionOf(stream: ReadAt, name: string = stream.name): Promise<ImageVersion> {
  await stream.prepare?.()
  return { name, size: stream.size, chunks: stream.chunks }
}

/** Why the indices of two images do not tell what differs, for a person; undefined: they do. */
export function whyNotComparable(before: ImageVersion, after: ImageVersion): string | undefined {
  const [a, b] = [before.chunks, after.chunks]
  for (const { name, chunks } of [before, after]) {
    if (chunks?.chunkSize === undefined) return `${name} is no disk image in chunks of one size`
  }
  if (a!.chunkSize !== b!.chunkSize) return `the chunks of ${before.name} have ${a!.chunkSize} bytes, those of ${after.name} ${b!.chunkSize}`
  for (const { name, chunks } of [before, after]) {
    if (chunks!.digestDomain === undefined) return `it is not known which key ${name} is encrypted with`
  }
  if (a!.digestDomain === b!.digestDomain) return undefined
  return `${before.name} ${describeDomain(a!)}, ${after.name} ${describeDomain(b!)}, and then digests say nothing of each other`
}

function describeDomain({ digestDomain }: StreamChunks): string {
  return digestDomain === 'plain' ? 'is not encrypted' : `is encrypted with key ${digestDomain!.slice(0, 16)}`
}

/**
 * Where `after` differs from `before`, in whole chunks, from the two indices alone. What only the larger one has counts
 * as changed, and so does a last chunk that one of them has cut off. UnsupportedError when the indices cannot tell.
 */
export async function changedRanges(before: ImageVersion, after: ImageVersion): Promise<RangeList> {
  const why = whyNotComparable(before, after)
  if (why !== undefined) {
    throw new UnsupportedError(`the indices do not tell what changed: ${why}`, { feature: 'changed ranges', stream: after.name })
  }
  const [a, b] = [before.chunks!, after.chunks!]
  const ranges = new RangeList()
  if (a.csum === b.csum && before.size === after.size) return ranges
  const step = a.chunkSize!
  const common = Math.min(before.size, after.size)
  const size = Math.max(before.size, after.size)
  // The digest of a chunk that is cut off tells nothing of the whole one.
  const count = before.size === after.size ? a.count : Math.floor(common / step)
  for (let i = 0; i < count; ) {
    for (let wait = bothPending(a, b, i); wait !== undefined; wait = bothPending(a, b, i)) await wait
    const [left, right] = [asBuffer(a.digestsFrom(i)), asBuffer(b.digestsFrom(i))]
    const known = Math.min(left.length, right.length) / DIGEST_SIZE
    const end = Math.min(i + known, i + SLICE, count)
    addDifferent(left, right, i, end, step, size, ranges)
    i = end
    if (i < count && known > SLICE) await new Promise((resolve) => setImmediate(resolve))
  }
  ranges.add(count * step, size)
  return ranges
}

function bothPending(a: StreamChunks, b: StreamChunks, i: number): Promise<unknown> | undefined {
  const [left, right] = [a.pending?.(i), b.pending?.(i)]
  return left === undefined || right === undefined ? (left ?? right) : Promise.all([left, right])
}

/** Compares the digests of chunks `first` to `end`, which start both buffers. */
function addDifferent(left: Buffer, right: Buffer, first: number, end: number, step: number, size: number, ranges: RangeList): void {
  for (let from = first; from < end; from += RUN) {
    const to = Math.min(from + RUN, end)
    if (isSame(left, right, from - first, to - first)) continue
    for (let i = from; i < to; i++) {
      if (!isSame(left, right, i - first, i + 1 - first)) ranges.add(i * step, Math.min((i + 1) * step, size))
    }
  }
}

function isSame(left: Buffer, right: Buffer, from: number, to: number): boolean {
  return left.compare(right, from * DIGEST_SIZE, to * DIGEST_SIZE, from * DIGEST_SIZE, to * DIGEST_SIZE) === 0
}

import type { StreamChunks } from '../bytes/read-at.js'
import { UnsupportedError } from '../errors/errors.js'

/** Bytes `[offset, offset + length)` of an image. */
export interface ChangedRange {
  readonly offset: number
  readonly length: number
}

/** An image as two snapshots have it. */
export interface ImageVersion {
  /** For messages. */
  readonly name: string
  readonly size: number
  readonly chunks: StreamChunks | undefined
  /** Fingerprint of its key; undefined: it is not encrypted. Digests made with two keys cannot be compared. */
  readonly key: string | undefined
}

/**
 * Where `after` differs from `before`, in whole chunks, joined and ascending, from the two indices alone. What only
 * the larger one has counts as changed. UnsupportedError when the indices cannot tell.
 */
export async function changedRanges(before: ImageVersion, after: ImageVersion): Promise<ChangedRange[]> {
  const [a, b] = [before.chunks, after.chunks]
  for (const { name, chunks } of [before, after]) {
    if (chunks?.chunkSize === undefined) throw cannot(name, 'it is no disk image in chunks of one size')
  }
  const step = a!.chunkSize!
  if (step !== b!.chunkSize) throw cannot(after.name, `its chunks have ${b!.chunkSize} bytes, those of ${before.name} ${step}`)
  if (before.key !== after.key) throw cannot(after.name, `its key is not that of ${before.name}, and digests made with two keys say nothing of each other`)
  const ranges: ChangedRange[] = []
  const size = Math.max(before.size, after.size)
  const common = Math.min(before.size, after.size)
  let start = -1
  for (let i = 0, at = 0; at < size; i++, at += step) {
    const end = Math.min(at + step, size)
    // A last chunk that one of them has cut off is no whole chunk of the other: its digest tells nothing.
    const comparable = end <= common || before.size === after.size
    const changed = !comparable || (await keyAt(a!, i)) !== (await keyAt(b!, i))
    if (changed && start < 0) start = at
    if (!changed && start >= 0) {
      ranges.push({ offset: start, length: at - start })
      start = -1
    }
  }
  if (start >= 0) ranges.push({ offset: start, length: size - start })
  return ranges
}

function keyAt(chunks: StreamChunks, i: number): string | Promise<string> {
  const wait = chunks.pending?.(i)
  return wait === undefined ? chunks.keyAt(i) : wait.then(() => keyAt(chunks, i))
}

function cannot(name: string, why: string): UnsupportedError {
  return new UnsupportedError(`${name}: changed ranges cannot be told from the index: ${why}`, { feature: 'changed ranges', stream: name })
}

import type { ReadAt } from '../bytes/read-at.js'

/** Shorter files are not looked at for holes: a run of zeros that is a chunk of its own is longer. */
export const MIN_SPARSE = 1024 * 1024

/** st_blocks, in 512-byte units: what `[start, start+size)` of a stream holds besides known holes. */
export function countBlocks(stream: ReadAt, start: number, size: number): number {
  if (size < MIN_SPARSE || stream.nextData === undefined || stream.nextHole === undefined) return Math.ceil(size / 512)
  if (stream.countData !== undefined) return Math.ceil(stream.countData(start, size) / 512)
  const end = start + size
  let held = 0
  for (let at = stream.nextData(start); at < end; ) {
    const hole = Math.min(stream.nextHole(at), end)
    held += hole - at
    at = hole < end ? stream.nextData(hole) : end
  }
  return Math.ceil(held / 512)
}

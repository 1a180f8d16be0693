import type { ReadAt } from '../bytes/read-at.js'
import type { SortedRows } from './goodbye.js'

/** Behind an unreadable child the next try is made this far away: no chunk is smaller. */
const PROBE_STEP = 64 * 1024
/** Read of the head of a child. */
const PROBE = 1024

/**
 * Child `bad` of a directory could not be read; `end` is behind the last one. What is missing is whole chunks, each try may be
 * slow, and thousands of children may lie in one chunk: looks ahead in steps, then halves the last step. Returns the next child
 * that can be read, or how many there are; those in between are told to `lose`.
 */
export async function skipUnreadable(
  meta: ReadAt,
  rows: SortedRows,
  end: number,
  bad: number,
  lose: (i: number, cause: unknown) => void,
): Promise<number> {
  const { count, fileOfs } = rows
  let low = bad
  for (;;) {
    let high = low + 1
    while (high < count && fileOfs[high]! - fileOfs[low]! < PROBE_STEP) high++
    // The last child is tried too, however near.
    if (high >= count && low + 1 < count) high = count - 1
    if (high >= count) return count
    const failure = await probe(meta, rows, end, high)
    if (failure !== undefined) {
      for (let i = low + 1; i <= high; i++) lose(i, failure)
      low = high
      continue
    }
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      const missing = await probe(meta, rows, end, middle)
      if (missing === undefined) {
        high = middle
      } else {
        for (let i = low + 1; i <= middle; i++) lose(i, missing)
        low = middle
      }
    }
    return high
  }
}

/** The error of reading the head of child `i`, or undefined. */
async function probe(meta: ReadAt, { count, fileOfs }: SortedRows, end: number, i: number): Promise<unknown> {
  const start = fileOfs[i]!
  const next = i + 1 < count ? fileOfs[i + 1]! : end
  const length = Math.min(PROBE, next - start)
  if (meta.peek(start, length) !== undefined) return undefined
  try {
    await meta.read(start, length)
    return undefined
  } catch (error) {
    return error ?? new Error('unreadable')
  }
}

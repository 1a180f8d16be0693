import type { ReadAt } from '../bytes/read-at.js'
import type { DirTable } from './dir-table.js'
import { KIND_FILE } from './entry-record.js'
import { HEADER_SIZE } from './format.js'
import type { PayloadLook } from './payload-look.js'
import type { PayloadStream } from './payload.js'

/** Regular files of a directory, other names of the same files aside, whose contents are in one stream. */
export interface ContentRun {
  readonly stream: ReadAt | undefined
  /** Their entries. */
  readonly entries: Uint32Array
  /** First byte of each in the stream. */
  readonly starts: Float64Array
  /** The entry behind the last one that was looked at. */
  readonly end: number
  /** Set when the run ended because the next header has to be loaded: settles when that was tried. */
  readonly loading: Promise<unknown> | undefined
}

/**
 * The files among entries `[from, to)`, as far as their payload headers are in memory. Damaged ones are left out:
 * whoever reads them will hear of it.
 */
export function contentRun(table: DirTable, from: number, to: number, meta: ReadAt, payload: PayloadStream | undefined): ContentRun {
  const last = Math.min(to, table.count)
  const most = Math.max(0, last - from)
  const entries = new Uint32Array(most)
  const starts = new Float64Array(most)
  let look: PayloadLook | undefined
  let stream: ReadAt | undefined
  let used = 0
  const stop = (end: number, loading?: Promise<unknown>): ContentRun => ({
    stream, entries: entries.subarray(0, used), starts: starts.subarray(0, used), end, loading,
  }) // prettier-ignore
  for (let i = from; i < last; i++) {
    if (table.kindAt(i) !== KIND_FILE || table.isLinkedName(i)) continue
    const referred = table.refersToPayload(i)
    const source = referred ? payload?.stream : meta
    if (source === undefined) continue
    if (stream !== undefined && stream !== source) return stop(i)
    const header = table.contentAt(i)
    if (referred) {
      const size = table.sizeAt(i)
      look ??= payload!.look()
      const good = look?.at(header, size)
      if (good === false) continue
      if (good === undefined && !payload!.isVerified(header, size)) return stop(i, payload!.load(header, size))
    }
    stream = source
    entries[used] = i
    starts[used++] = header + HEADER_SIZE
  }
  return stop(Math.max(from, last))
}

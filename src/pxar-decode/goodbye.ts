import { peekSize, viewOf } from '../bytes/le.js'
import { UnsupportedError } from '../errors/errors.js'
import { cutOff, damage } from './damage.js'
import {
  HEADER_SIZE, ITEM_GOODBYE, MAX_DIR_ENTRIES, MIN_CHILD, MIN_TABLE, ROW_AT, ROW_SIZE, TAIL_MARKER_HI, TAIL_MARKER_LO,
  itemOf,
} from './format.js' // prettier-ignore
import type { ArchiveLayout } from './layout.js'
import type { ProblemList } from './problems.js'
import type { TimeSlice } from './time-slice.js'

/** Where a goodbye table and its directory are, as the tail row tells. */
export interface TableSpan {
  /** Behind the tail row. */
  readonly end: number
  /** GOODBYE header. */
  readonly start: number
  /** ENTRY header of the directory. */
  readonly entryOfs: number
  /** Rows without the tail row. */
  readonly count: number
}

/** The rows of a table whose places are possible, in ascending order of their children. */
export interface SortedRows {
  readonly count: number
  /** FILENAME headers, ascending, each once. */
  readonly fileOfs: Float64Array
  /** Extent from the FILENAME header on; -1 above 2^53-1. */
  readonly extents: Float64Array
}

/** Read along with a tail row: most tables fit. */
const TAIL_WINDOW = 4096
/** Rows are read in pieces of this size at most. */
const ROWS_WINDOW = ROW_SIZE * 43690
/** Rows between two looks at the clock. */
const CLOCK_STEP = 4096
/** No extent: real ones are -1 or more. */
const UNUSED = -2

/** Reads the tail row that ends at `end`. */
export async function readTail(layout: ArchiveLayout, end: number): Promise<TableSpan> {
  const { meta } = layout
  if (!Number.isSafeInteger(end) || end < MIN_TABLE || end > meta.size) {
    throw damage(meta.name, end, 'GOODBYE tail', 'no table can end here', `${MIN_TABLE}..${meta.size}`, end)
  }
  const row = meta.peek(end - ROW_SIZE, ROW_SIZE)
  if (row !== undefined) return decodeTail(viewOf(row), 0, layout, end)
  // Most tables are small: this read brings the rows along. What lies before may be unreadable.
  const length = Math.min(TAIL_WINDOW, end)
  const bytes = await meta.read(end - length, length).catch(() => meta.read(end - ROW_SIZE, ROW_SIZE))
  return decodeTail(viewOf(bytes), bytes.length - ROW_SIZE, layout, end)
}

function decodeTail(view: DataView, at: number, layout: ArchiveLayout, end: number): TableSpan {
  const { meta } = layout
  const offset = end - ROW_SIZE
  if (view.getInt32(at, true) !== TAIL_MARKER_LO || view.getInt32(at + 4, true) !== TAIL_MARKER_HI) {
    throw damage(meta.name, offset, 'GOODBYE tail', 'the tail marker is missing')
  }
  const size = peekSize(view, at + ROW_AT.extent)
  if (size < MIN_TABLE || size > end || (size - HEADER_SIZE) % ROW_SIZE !== 0) {
    throw damage(meta.name, offset, 'GOODBYE tail', `table size ${size}`, `16 + 24 * n, at most ${end}`, size)
  }
  const start = end - size
  const distance = peekSize(view, at + ROW_AT.distance)
  if (distance < 0 || distance > start) {
    throw damage(meta.name, offset, 'GOODBYE tail', 'its directory would start before the archive', `0..${start}`, distance)
  }
  // The root's tail points at byte 0, which may be FORMAT_VERSION.
  const isRoot = end === meta.size
  let entryOfs = start - distance
  if (isRoot !== (entryOfs === 0)) {
    throw damage(meta.name, offset, 'GOODBYE tail', isRoot ? 'the root must start at offset 0' : 'only the root may start at offset 0')
  }
  if (isRoot) entryOfs = layout.rootEntryOfs
  const count = (size - HEADER_SIZE) / ROW_SIZE - 1
  if (entryOfs >= start || count * MIN_CHILD > start - entryOfs) {
    throw damage(meta.name, offset, 'GOODBYE tail', `${count} rows for ${start - entryOfs} bytes of entries`)
  }
  if (count > MAX_DIR_ENTRIES) {
    throw new UnsupportedError(`${meta.name}: a directory of ${count} entries (limit ${MAX_DIR_ENTRIES})`, {
      feature: 'directory size', stream: meta.name, offset, actual: count, expected: `at most ${MAX_DIR_ENTRIES}`,
    }) // prettier-ignore
  }
  return { end, start, entryOfs, count }
}

/**
 * Reads a table. Rows that point outside `[firstChild, table)` or to the same place as another
 * cost their entry and are reported; a wrong GOODBYE header throws.
 */
export async function readRows(
  layout: ArchiveLayout,
  span: TableSpan,
  firstChild: number,
  problems: ProblemList,
  slice: TimeSlice,
): Promise<SortedRows> {
  const { meta } = layout
  const places = new Float64Array(span.count)
  const extents = new Float64Array(span.count)
  let count = 0
  let pos = span.start + HEADER_SIZE
  const last = span.end - ROW_SIZE
  // The header comes with the first piece.
  let skip = HEADER_SIZE
  do {
    const length = Math.min(ROWS_WINDOW, last - pos)
    const view = viewOf(meta.peek(pos - skip, length + skip) ?? (await meta.read(pos - skip, length + skip)))
    if (skip !== 0) checkHeader(view, span, meta.name)
    for (let at = skip; at < length + skip; at += ROW_SIZE) {
      const distance = peekSize(view, at + ROW_AT.distance)
      if (distance <= 0 || distance > span.start - firstChild) {
        const offset = pos + at - skip
        problems.add(offset, damage(meta.name, offset, 'GOODBYE row', 'points outside its directory', `1..${span.start - firstChild}`, distance))
        continue
      }
      places[count] = span.start - distance
      extents[count] = peekSize(view, at + ROW_AT.extent)
      count++
    }
    pos += length
    skip = 0
    await slice.pause()
  } while (pos < last)
  return sortRows(places.subarray(0, count), extents, meta.name, problems, slice)
}

function checkHeader(view: DataView, span: TableSpan, stream: string): void {
  const item = itemOf(view.getInt32(0, true), view.getInt32(4, true))
  const size = peekSize(view, 8)
  if (item !== ITEM_GOODBYE || size !== span.end - span.start) {
    throw damage(stream, span.start, ITEM_GOODBYE, 'header and tail row disagree', span.end - span.start, item === ITEM_GOODBYE ? size : 'another item')
  }
}

async function sortRows(
  places: Float64Array,
  extents: Float64Array,
  stream: string,
  problems: ProblemList,
  slice: TimeSlice,
): Promise<SortedRows> {
  // Sorting numbers alone is several times faster than sorting indices by comparison.
  const fileOfs = places.slice().sort()
  const sortedExtents = new Float64Array(places.length).fill(UNUSED)
  const first = fileOfs[0] ?? 0
  const scale = (places.length - 1) / Math.max(1, (fileOfs[places.length - 1] ?? 0) - first)
  for (let row = 0; row < places.length; row++) {
    if (row % CLOCK_STEP === 0) await slice.pause()
    const place = places[row]!
    const at = findPlace(fileOfs, place, Math.floor((place - first) * scale))
    if (sortedExtents[at] !== UNUSED) {
      problems.add(place, damage(stream, place, 'GOODBYE row', 'a second row for the same entry'))
      continue
    }
    sortedExtents[at] = extents[row]!
  }
  let count = 0
  for (let i = 0; i < fileOfs.length; i++) {
    if (sortedExtents[i] === UNUSED) continue
    if (count < i) {
      fileOfs[count] = fileOfs[i]!
      sortedExtents[count] = sortedExtents[i]!
    }
    count++
  }
  return { count, fileOfs, extents: sortedExtents }
}

/** First index of `value`, which is there. Entries are of similar size, so the guess is near. */
function findPlace(sorted: Float64Array, value: number, guess: number): number {
  let low = 0
  let high = sorted.length
  let at = guess
  for (let step = 4; ; step *= 4) {
    if (sorted[at]! < value) {
      low = at + 1
      at += step
      if (at >= high) break
    } else {
      high = at
      at -= step
      if (at < low) break
    }
    if (high - low <= step) break
  }
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]! < value) low = middle + 1
    else high = middle
  }
  return low
}

/** A sub-directory's table, as its row tells, must lie between its ENTRY and its parent's table. */
export function checkNesting(stream: string, fileOfs: number, headEnd: number, extent: number, parentTable: number): number {
  const end = fileOfs + extent
  if (extent < 0 || end > parentTable) throw cutOff(stream, fileOfs, 'directory', end, parentTable)
  if (end < headEnd + MIN_TABLE) throw damage(stream, fileOfs, 'directory', 'no room for its table', `at least ${headEnd + MIN_TABLE}`, end)
  return end
}

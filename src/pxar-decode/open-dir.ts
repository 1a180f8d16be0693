import { viewOf } from '../bytes/le.js'
import type { ReadAt } from '../bytes/read-at.js'
import { FormatError, isPbsfsError, messageOf } from '../errors/errors.js'
import { damage } from './damage.js'
import { decodeEntry } from './decode-entry.js'
import { DirBuilder } from './dir-builder.js'
import { readDirHead, type DirHead } from './dir-head.js'
import type { DirTable } from './dir-table.js'
import { KIND_DIR, KIND_FILE, KIND_HARDLINK, createRecord, type EntryRecord } from './entry-record.js'
import {
  HEADER_SIZE, ITEM_DEVICE, ITEM_FILENAME, ITEM_PAYLOAD, ITEM_PAYLOAD_REF, ITEM_SYMLINK, MAX_NAME,
  itemOf,
} from './format.js' // prettier-ignore
import { checkNesting, type SortedRows, type TableSpan } from './goodbye.js'
import { HardLinks } from './hard-links.js'
import { readGrowing, type ArchiveLayout } from './layout.js'
import type { ProblemList } from './problems.js'
import { skipUnreadable } from './skip-unreadable.js'
import { TimeSlice } from './time-slice.js'

const KiB = 1024
/** One read covers children up to this many bytes. */
const MAX_WINDOW = 1024 * KiB
/** A child with at most this many bytes to its next sibling is read whole, together with it. */
const JOIN = 16 * KiB
/** Read of a child that is followed by payload or by entries of its own. */
const HEAD = KiB
/** Pieces of the stream that are loaded while another one is waited for. */
const TOLD_AHEAD = 4
/** Work between two looks at the clock, in entries, and between two turns of the event loop. */
const CLOCK_STEP = 256
const SLICE_MS = 2

/**
 * Decodes the directory whose table ends at `end`. `expectEntry`: ENTRY header the table must
 * belong to. Damage of the table throws; damage of an entry costs that entry (`table.problems`).
 */
export async function openDirectory(layout: ArchiveLayout, end: number, expectEntry?: number): Promise<DirTable> {
  const slice = new TimeSlice(SLICE_MS)
  return new DirReader(layout, await readDirHead(layout, end, expectEntry, slice), slice).read()
}

/** Names of hostile length are cut to this in reports. */
const REPORTED_NAME = MAX_NAME + 1

class DirReader {
  readonly #layout: ArchiveLayout
  readonly #meta: ReadAt
  readonly #span: TableSpan
  readonly #self: EntryRecord
  readonly #problems: ProblemList
  readonly #rows: SortedRows
  readonly #builder: DirBuilder
  readonly #record = createRecord()
  /** Behind the last entry taken: no later entry may start before. */
  #cursor: number
  readonly #links = new HardLinks()
  /** Children that could not be read. */
  #unreadable = 0
  /** Pieces the stream was told of and that are still to be read, how many children and how many bytes those cover. */
  readonly #told: number[] = []
  #toldCount = 0
  #toldUntil = 0
  readonly #slice: TimeSlice

  constructor(layout: ArchiveLayout, { span, self, rows, problems }: DirHead, slice: TimeSlice) {
    this.#layout = layout
    this.#meta = layout.meta
    this.#span = span
    this.#self = self
    this.#rows = rows
    this.#problems = problems
    this.#slice = slice
    this.#cursor = self.itemEnd
    this.#builder = new DirBuilder(layout.meta.name, rows.count)
  }

  async read(): Promise<DirTable> {
    await this.#readChildren()
    const unreadable = await this.#links.resolve(this.#meta, this.#builder, this.#problems, this.#slice)
    return this.#builder.finish(this.#self, this.#problems, this.#unreadable + unreadable)
  }

  async #readChildren(): Promise<void> {
    const { count, fileOfs } = this.#rows
    let windowSize = MAX_WINDOW
    let i = 0
    while (i < count) {
      const start = fileOfs[i]!
      const until = Math.min(this.#windowEnd(i, windowSize), this.#pieceEnd(start))
      this.#tellAhead(start)
      let bytes = this.#meta.peek(start, until - start)
      let peeked = bytes !== undefined
      if (bytes === undefined) {
        try {
          if (this.#meta.expect !== undefined) {
            // Once it is there it is looked at where it is.
            await this.#meta.read(start, HEADER_SIZE)
            bytes = this.#meta.peek(start, until - start)
            peeked = bytes !== undefined
          }
          bytes ??= await this.#meta.read(start, until - start)
          windowSize = Math.min(MAX_WINDOW, windowSize * 2)
        } catch {
          if (i + 1 < count && fileOfs[i + 1]! + HEADER_SIZE < until) {
            // Part of the window cannot be read: close in on that part.
            windowSize = Math.floor((until - start) / 2)
          } else {
            // It may still be only what follows.
            i = (await this.#takeAlone(i, HEADER_SIZE)) ? i + 1 : await this.#skipFrom(i)
          }
          continue
        }
      }
      i = await this.#takeWindow(i, bytes, start, peeked)
      // Not before: what it loads may take the place of what was looked at. Folders below lie between the children.
      this.#meta.noteRead?.(start, until - start, true)
    }
  }

  /** End of the piece of the stream that a window may look into as a whole. */
  #pieceEnd(start: number): number {
    const end = this.#meta.expect?.(start) ?? Infinity
    return end - start > HEAD + HEADER_SIZE ? end : Infinity
  }

  /** Tells the stream what will be read next, so that chunks are loaded side by side, also those with one head each. */
  #tellAhead(start: number): void {
    const { count, fileOfs } = this.#rows
    const told = this.#told
    while (told.length > 0 && told[0]! <= start) told.shift()
    for (; told.length < TOLD_AHEAD && this.#toldCount < count; this.#toldCount++) {
      const place = fileOfs[this.#toldCount]!
      if (place < this.#toldUntil) continue
      told.push(place)
      this.#toldUntil = this.#meta.expect?.(place) ?? Infinity
    }
  }

  /** How far to read from child `first` on, about `size` bytes; the header that follows is included. */
  #windowEnd(first: number, size: number): number {
    const { count, fileOfs } = this.#rows
    const start = fileOfs[first]!
    for (let i = first; ; i++) {
      const next = i + 1 < count ? fileOfs[i + 1]! : this.#span.start
      if (next - fileOfs[i]! > JOIN) return fileOfs[i]! + HEAD + HEADER_SIZE
      const nextEnd = i + 2 < count ? Math.min(fileOfs[i + 2]!, next + JOIN) : this.#span.start
      if (i + 1 >= count || nextEnd - start > size) return next + HEADER_SIZE
    }
  }

  /** Takes the children that start in the window; returns the first that does not. */
  async #takeWindow(first: number, bytes: Uint8Array, base: number, peeked: boolean): Promise<number> {
    const { count, fileOfs } = this.#rows
    const view = viewOf(bytes)
    const have = base + bytes.length
    let i = first
    while (i < count && fileOfs[i]! + HEADER_SIZE < have) {
      if (this.#take(i, view, base) !== 0) {
        await this.#takeAlone(i, 2 * HEAD)
        return i + 1
      }
      i++
      if (i % CLOCK_STEP === 0 && (await this.#slice.pause()) && peeked) return i
    }
    return i
  }

  /** Takes child `i` by reads of its own, `first` bytes to begin with; false when they fail. */
  async #takeAlone(i: number, first: number): Promise<boolean> {
    const start = this.#rows.fileOfs[i]!
    try {
      await readGrowing(this.#meta, start, this.#span.end, first, (view) => this.#take(i, view, start))
      return true
    } catch (error) {
      this.#lose(i, error)
      return false
    }
  }

  /** Where child `i` must end: told by its row, or by the table where rows do not tell. */
  #limitOf(i: number): number {
    if (this.#layout.split) return this.#span.start
    const { fileOfs, extents } = this.#rows
    const end = fileOfs[i]! + extents[i]!
    if (end < fileOfs[i]! || end > this.#span.start) {
      throw damage(this.#meta.name, fileOfs[i]!, 'GOODBYE row', 'the extent leaves the directory', this.#span.start, end)
    }
    return end
  }

  /** Decodes child `i` and adds or reports it: 0, or the offset up to which bytes are needed. */
  #take(i: number, view: DataView, base: number): number {
    const record = this.#record
    const start = this.#rows.fileOfs[i]!
    record.nameStart = record.nameEnd = 0
    try {
      const need = decodeEntry(view, base, start, this.#limitOf(i), this.#meta.name, record)
      if (need !== 0) return need
      this.#accept(i, view, base)
    } catch (error) {
      if (!isPbsfsError(error)) throw error
      this.#problems.add(start, error, this.#reportedName(view, base))
    }
    return 0
  }

  /** The name in `#record`, as far as it was decoded and is in memory. */
  #reportedName(view: DataView, base: number): Uint8Array | undefined {
    const { nameStart, nameEnd } = this.#record
    if (nameEnd === 0) return undefined
    const length = Math.min(nameEnd - nameStart, REPORTED_NAME)
    return new Uint8Array(view.buffer, view.byteOffset + nameStart - base, length).slice()
  }

  #accept(i: number, view: DataView, base: number): void {
    const { fileOfs, extents } = this.#rows
    const stream = this.#meta.name
    const record = this.#record
    const start = fileOfs[i]!
    if (start < this.#cursor) throw damage(stream, start, ITEM_FILENAME, 'lies inside another entry', `from ${this.#cursor} on`, start)
    const length = record.nameEnd - record.nameStart
    // Not compared with the hash in the row: names are found by their bytes, in lookup and listing alike.
    this.#builder.stageName(view, record.nameStart - base, record.nameEnd - base)
    if (record.kind === KIND_DIR) {
      record.end = checkNesting(stream, start, record.itemEnd, extents[i]!, this.#span.start)
    } else if ((!this.#layout.split || record.kind !== KIND_FILE) && record.itemEnd !== start + extents[i]!) {
      throw damage(stream, start, 'GOODBYE row', 'the extent is not that of the entry', record.itemEnd - start, extents[i])
    }
    if (this.#layout.split) this.#checkFollowing(i, view, base)
    this.#cursor = record.kind === KIND_DIR ? record.end : record.itemEnd
    const index = this.#builder.add(record, length)
    if (record.kind === KIND_HARDLINK) this.#links.add(index, start, record.linkTarget)
  }

  /** Where no other entry follows at once, something may: a second content or target is ambiguous. */
  #checkFollowing(i: number, view: DataView, base: number): void {
    const { count, fileOfs } = this.#rows
    const { itemEnd, kind } = this.#record
    const next = i + 1 < count ? fileOfs[i + 1]! : this.#span.start
    const at = itemEnd - base
    if (itemEnd === next || kind === KIND_DIR || at + HEADER_SIZE > view.byteLength) return
    const item = itemOf(view.getInt32(at, true), view.getInt32(at + 4, true))
    if (item === ITEM_PAYLOAD || item === ITEM_PAYLOAD_REF || item === ITEM_SYMLINK || item === ITEM_DEVICE) {
      throw damage(this.#meta.name, itemEnd, item, 'an entry has ended here')
    }
  }

  /** The next child behind `bad` that can be read. */
  #skipFrom(bad: number): Promise<number> {
    return skipUnreadable(this.#meta, this.#rows, this.#span.start, bad, (i, cause) => this.#lose(i, cause))
  }

  /** Reports child `i`, whose bytes could not be read. */
  #lose(i: number, cause: unknown): void {
    const { name } = this.#meta
    const offset = this.#rows.fileOfs[i]!
    this.#unreadable++
    this.#problems.add(
      offset,
      new FormatError(`${name}: entry at offset ${offset} cannot be read: ${messageOf(cause)}`, { stream: name, offset, item: 'FILENAME' }, { cause }),
    )
  }
}

import type { ReadAt } from '../bytes/read-at.js'
import { FormatError, TruncatedError } from '../errors/errors.js'
import { readDirHead } from './dir-head.js'
import { FLAG_LINKED_NAME, KIND_DIR, KIND_FILE, KIND_HARDLINK, createRecord, type EntryRecord } from './entry-record.js'
import { findRow } from './find-row.js'
import { checkNesting, type SortedRows, type TableSpan } from './goodbye.js'
import { readChild, type ArchiveLayout } from './layout.js'
import { TimeSlice } from './time-slice.js'

const SLICE_MS = 2

/**
 * The table of a directory of a classic archive in which entries are found without decoding the
 * others: each row tells a place of its own inside the directory, and none overlaps another.
 */
export interface RowTable {
  readonly span: TableSpan
}

/**
 * Reads a table and the head of its directory; none of its entries. undefined: not every row can be
 * right, so that only decoding the whole directory tells which entries count. Throws as `openDirectory`.
 */
export async function openRowTable(layout: ArchiveLayout, end: number, expectEntry?: number): Promise<RowTable | undefined> {
  const { span, rows, problems } = await readDirHead(layout, end, expectEntry, new TimeSlice(SLICE_MS))
  return problems.count === 0 && areApart(rows, span.start) ? { span } : undefined
}

function areApart({ count, fileOfs, extents }: SortedRows, table: number): boolean {
  for (let i = 0; i < count; i++) {
    const next = i + 1 < count ? fileOfs[i + 1]! : table
    if (!(extents[i]! > 0 && fileOfs[i]! + extents[i]! <= next)) return false
  }
  return true
}

/**
 * The entry of that name, with the target's record for a hard link, as the decoded directory would
 * tell it. undefined: it is not found through the rows. That does not mean that there is none: the
 * row or the entry may be damaged, or there are two. Rejects when a stream cannot be read.
 */
export async function findEntry(layout: ArchiveLayout, { span }: RowTable, name: Uint8Array): Promise<EntryRecord | undefined> {
  try {
    const row = await findRow(layout, span, name)
    return row === undefined ? undefined : await readListed(layout, row.fileOfs, row.extent, span)
  } catch (error) {
    if (error instanceof FormatError || error instanceof TruncatedError) return undefined
    throw error
  }
}

/** The entry of a row under the rules of a listing; undefined or a FormatError when it would not be listed. */
async function readListed({ meta }: ArchiveLayout, fileOfs: number, extent: number, span: TableSpan): Promise<EntryRecord | undefined> {
  const record = createRecord()
  await readChild(meta, fileOfs, fileOfs + extent, record)
  if (record.kind === KIND_DIR) {
    record.end = checkNesting(meta.name, fileOfs, record.itemEnd, extent, span.start)
    return record
  }
  if (record.itemEnd !== fileOfs + extent) return undefined
  return record.kind === KIND_HARDLINK ? readTarget(meta, record.linkTarget, fileOfs) : record
}

/** The file that the hard link at `fileOfs` is another name of. */
async function readTarget(meta: ReadAt, target: number, fileOfs: number): Promise<EntryRecord | undefined> {
  const record = createRecord()
  await readChild(meta, target, fileOfs, record)
  if (record.kind !== KIND_FILE) return undefined
  record.flags |= FLAG_LINKED_NAME
  return record
}

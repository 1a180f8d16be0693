import { damage } from './damage.js'
import { KIND_DIR, createRecord, type EntryRecord } from './entry-record.js'
import { ITEM_ENTRY } from './format.js'
import { readRows, readTail, type SortedRows, type TableSpan } from './goodbye.js'
import { readHead, type ArchiveLayout } from './layout.js'
import { ProblemList } from './problems.js'
import type { TimeSlice } from './time-slice.js'

/** A directory without its entries: itself, and where its table says that they are. */
export interface DirHead {
  readonly span: TableSpan
  /** `fileOfs` is -1; behind `itemEnd` is the first entry. */
  readonly self: EntryRecord
  readonly rows: SortedRows
  /** Rows that cannot be right. */
  readonly problems: ProblemList
}

/**
 * Reads the table that ends at `end` and the head of its directory. `expectEntry`: ENTRY header the
 * table must belong to. Throws on damage of either; a bad row is in `problems`.
 */
export async function readDirHead(layout: ArchiveLayout, end: number, expectEntry: number | undefined, slice: TimeSlice): Promise<DirHead> {
  const { meta } = layout
  const span = await readTail(layout, end)
  if (expectEntry !== undefined && span.entryOfs !== expectEntry) {
    throw damage(meta.name, end, 'GOODBYE tail', 'the table belongs to another directory', expectEntry, span.entryOfs)
  }
  const self = createRecord()
  await readHead(meta, span.entryOfs, end, self)
  if (self.kind !== KIND_DIR) throw damage(meta.name, span.entryOfs, ITEM_ENTRY, 'not a directory')
  if (self.itemEnd > span.start) throw damage(meta.name, span.entryOfs, ITEM_ENTRY, 'its attributes reach into its table')
  self.fileOfs = -1
  self.end = end
  const problems = new ProblemList()
  const rows = await readRows(layout, span, self.itemEnd, problems, slice)
  return { span, self, rows, problems }
}

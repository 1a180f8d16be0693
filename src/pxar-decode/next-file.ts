import { viewOf } from '../bytes/le.js'
import { KIND_DIR, KIND_FILE, type EntryKind, type EntryRecord } from './entry-record.js'
import { HEADER_SIZE, ITEM_FILENAME, itemOf } from './format.js'
import { peekChild, type ArchiveLayout } from './layout.js'

/** Entries that are no files stepped over before giving up. */
const MAX_SKIPPED = 64

/**
 * Fills `out` with the regular file that follows the entry at `fileOfs` among its siblings, as far
 * as that is in memory. False when there is none before the next directory or the end of this
 * one, or when it cannot be told without reading. Throws on damage.
 */
export function peekNextFile({ meta }: ArchiveLayout, fileOfs: number, out: EntryRecord): boolean {
  if (!peekChild(meta, fileOfs, meta.size, out)) return false
  for (let i = 0; i < MAX_SKIPPED; i++) {
    const at = out.itemEnd
    if (at + HEADER_SIZE > meta.size) return false
    const header = meta.peek(at, HEADER_SIZE)
    if (header === undefined || !startsEntry(header)) return false
    if (!peekChild(meta, at, meta.size, out)) return false
    const kind: EntryKind = out.kind
    if (kind === KIND_DIR) return false
    if (kind === KIND_FILE) return true
  }
  return false
}

function startsEntry(header: Uint8Array): boolean {
  const view = viewOf(header)
  return itemOf(view.getInt32(0, true), view.getInt32(4, true)) === ITEM_FILENAME
}

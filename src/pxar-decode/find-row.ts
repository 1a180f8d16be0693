import { peekSize, viewOf } from '../bytes/le.js'
import { damage } from './damage.js'
import { HEADER_SIZE, ITEM_FILENAME, ROW_AT, ROW_SIZE, itemOf } from './format.js'
import type { TableSpan } from './goodbye.js'
import type { ArchiveLayout } from './layout.js'
import { hashName } from './siphash.js'

/** A row found by name. */
export interface FoundRow {
  readonly fileOfs: number
  /** As the row tells; -1 above 2^53-1. */
  readonly extent: number
}

/** Rows of one hash that are looked at; more are made on purpose. */
const MAX_EQUAL = 64

/**
 * Finds a name through the table alone, without decoding the directory: rows are sorted by hash
 * and stored as a complete binary tree (children of i at 2i+1 and 2i+2). Reads a row for each
 * level, and the FILENAME of each row with that hash. Equal hashes may sit in both subtrees. Two
 * rows of the name are damage.
 */
export async function findRow(layout: ArchiveLayout, span: TableSpan, name: Uint8Array): Promise<FoundRow | undefined> {
  const { meta } = layout
  const wanted = new Int32Array(2)
  hashName(name, 0, name.length, wanted)
  const hi = wanted[1]! >>> 0
  const lo = wanted[0]! >>> 0
  const pending = [0]
  let equal = 0
  let found: FoundRow | undefined
  while (pending.length > 0) {
    const i = pending.pop()!
    if (i >= span.count) continue
    const at = span.start + HEADER_SIZE + i * ROW_SIZE
    const row = viewOf(meta.peek(at, ROW_SIZE) ?? (await meta.read(at, ROW_SIZE)))
    const rowHi = row.getUint32(ROW_AT.hash + 4, true)
    const rowLo = row.getUint32(ROW_AT.hash, true)
    const sign = hi !== rowHi ? hi - rowHi : lo - rowLo
    if (sign !== 0) {
      pending.push(sign < 0 ? 2 * i + 1 : 2 * i + 2)
      continue
    }
    if (++equal > MAX_EQUAL) throw damage(meta.name, at, 'GOODBYE row', `more than ${MAX_EQUAL} rows of one hash`)
    const distance = peekSize(row, ROW_AT.distance)
    const extent = peekSize(row, ROW_AT.extent)
    if (distance <= 0 || distance > span.start - span.entryOfs) throw damage(meta.name, at, 'GOODBYE row', 'points outside its directory')
    const fileOfs = span.start - distance
    if (await hasName(layout, fileOfs, span.start, name)) {
      if (found !== undefined) throw damage(meta.name, at, 'GOODBYE row', 'a second entry of the same name')
      found = { fileOfs, extent }
    }
    pending.push(2 * i + 2, 2 * i + 1)
  }
  return found
}

async function hasName(layout: ArchiveLayout, fileOfs: number, limit: number, name: Uint8Array): Promise<boolean> {
  const { meta } = layout
  const length = HEADER_SIZE + name.length + 1
  if (fileOfs + length > limit) return false
  const bytes = meta.peek(fileOfs, length) ?? (await meta.read(fileOfs, length))
  const view = viewOf(bytes)
  if (itemOf(view.getInt32(0, true), view.getInt32(4, true)) !== ITEM_FILENAME || peekSize(view, 8) !== length) return false
  for (let i = 0; i < name.length; i++) if (bytes[HEADER_SIZE + i] !== name[i]) return false
  return true
}

import type { PxarArchive } from '../pxar-decode/archive.js'
import { FLAG_PAYLOAD_REF, KIND_FILE, type EntryRecord } from '../pxar-decode/entry-record.js'
import { countBlocks, MIN_SPARSE } from './extents.js'

/** May the file have holes that the index of its stream knows? */
export function mayBeSparse(record: EntryRecord): boolean {
  return record.kind === KIND_FILE && record.size >= MIN_SPARSE
}

/** st_blocks of a file that may have holes, in units of 512 bytes; undefined: as many as its size takes. */
export async function knownBlocks(pxar: PxarArchive, record: EntryRecord): Promise<number | undefined> {
  if (!mayBeSparse(record)) return undefined
  const stream = (record.flags & FLAG_PAYLOAD_REF) === 0 ? pxar.meta : pxar.payload
  try {
    await stream?.prepare?.()
  } catch {
    // Contents that cannot be opened are no reason not to list the name.
    return undefined
  }
  return stream === undefined ? undefined : countBlocks(stream, record.contentOfs + 16, record.size)
}

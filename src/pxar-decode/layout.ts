import type { ReadAt } from '../bytes/read-at.js'
import { viewOf } from '../bytes/le.js'
import { damage } from './damage.js'
import { decodeEntry, decodeHead } from './decode-entry.js'
import type { EntryRecord } from './entry-record.js'
import { HEADER_SIZE } from './format.js'

/** What decoders below the archive need to know about it. */
export interface ArchiveLayout {
  /** The metadata stream; of a classic archive the whole archive. */
  readonly meta: ReadAt
  /** True when file rows of a table do not tell exact extents: payloads may lie elsewhere. */
  readonly split: boolean
  /** ENTRY header of the root, behind FORMAT_VERSION and PRELUDE. */
  readonly rootEntryOfs: number
}

/** First try for one entry: most end well within. */
export const ENTRY_WINDOW = 512

/** Decodes the entry at `fileOfs` if it is in memory; throws on damage. */
export function peekChild(stream: ReadAt, fileOfs: number, limit: number, out: EntryRecord): boolean {
  if (!(fileOfs >= 0 && fileOfs < limit)) throw damage(stream.name, fileOfs, 'entry', 'no such offset', `0..${limit}`, fileOfs)
  let length = Math.min(ENTRY_WINDOW, stream.size - fileOfs)
  let bytes = stream.peek(fileOfs, length)
  if (bytes === undefined) {
    // The window may only have crossed into a piece that is elsewhere: go step by step.
    length = Math.min(HEADER_SIZE, length)
    bytes = stream.peek(fileOfs, length)
  }
  while (bytes !== undefined) {
    const need = decodeEntry(viewOf(bytes), fileOfs, fileOfs, limit, stream.name, out)
    if (need === 0) return true
    length = need - fileOfs
    bytes = stream.peek(fileOfs, length)
  }
  return false
}

/** Decodes the entry at `fileOfs`, reading what is not in memory. */
export async function readChild(stream: ReadAt, fileOfs: number, limit: number, out: EntryRecord): Promise<void> {
  if (peekChild(stream, fileOfs, limit, out)) return
  await readGrowing(stream, fileOfs, limit, ENTRY_WINDOW, (view) =>
    decodeEntry(view, fileOfs, fileOfs, limit, stream.name, out),
  )
}

/** Decodes an entry from its ENTRY header on. */
export async function readHead(stream: ReadAt, entryOfs: number, limit: number, out: EntryRecord): Promise<void> {
  await readGrowing(stream, entryOfs, limit, ENTRY_WINDOW, (view) =>
    decodeHead(view, entryOfs, entryOfs, limit, stream.name, out),
  )
}

/**
 * Calls `decode` with the bytes from `start` on, more and more of them, until it returns 0. It
 * returns the absolute offset it needs bytes up to at least, never above `limit`. Reads ahead
 * freely, but what was not needed need not be readable.
 */
export async function readGrowing(
  stream: ReadAt,
  start: number,
  limit: number,
  first: number,
  decode: (view: DataView) => number,
): Promise<void> {
  let needed = Math.min(HEADER_SIZE, limit - start)
  let length = Math.max(needed, Math.min(first, limit - start))
  for (let ahead = true; ; ) {
    let bytes = stream.peek(start, length)
    try {
      bytes ??= await stream.read(start, length)
    } catch (error) {
      if (length === needed) throw error
      ahead = false
      length = needed
      continue
    }
    const end = decode(viewOf(bytes))
    if (end === 0) return
    needed = end - start
    length = ahead ? Math.max(needed, Math.min(length * 2, limit - start)) : needed
  }
}

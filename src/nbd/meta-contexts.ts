import type { RangeList } from '../bytes/range-list.js'
import type { ReadAt } from '../bytes/read-at.js'
import type { MetaContext } from './export.js'

/** What is not stored and reads as zeros. [base: metadata namespace] */
export const BASE_ALLOCATION = 'base:allocation'
const NBD_STATE_HOLE = 1
const NBD_STATE_ZERO = 2

/** Names of bitmaps of changed blocks begin with this; QEMU's documentation, interop/nbd. */
export const DIRTY_BITMAP = 'qemu:dirty-bitmap:'
const NBD_STATE_DIRTY = 1

/** What a client may ask for when it lists: a whole namespace, or all bitmaps. The queries are those of the protocol and of QEMU. */
const WILDCARDS = ['base:', 'qemu:', DIRTY_BITMAP]

/** Contexts of `names` that a query of NBD_OPT_LIST_META_CONTEXT or, not `listing`, NBD_OPT_SET_META_CONTEXT means. */
export function matchContexts(names: readonly string[], query: string, listing: boolean): readonly string[] {
  if (listing && WILDCARDS.includes(query)) return names.filter((name) => name.startsWith(query))
  return names.filter((name) => name === query)
}

/** `base:allocation` of `[start, start + size)` of a stream, from what it knows without reading. */
export function allocationOf(stream: ReadAt, start: number, size: number): MetaContext {
  return {
    extentAt: (offset) => {
      const at = start + offset
      const data = Math.min(stream.nextData?.(at) ?? at, start + size)
      if (data > at) return { flags: NBD_STATE_HOLE | NBD_STATE_ZERO, end: data - start }
      return { flags: 0, end: Math.min(stream.nextHole?.(at) ?? Infinity, start + size) - start }
    },
  }
}

/** A bitmap of changed blocks of an export of `size` bytes. */
export function dirtyBitmap(ranges: RangeList, size: number): MetaContext {
  return {
    extentAt: (offset) => {
      const next = ranges.firstBehind(offset)
      if (next === ranges.count) return { flags: 0, end: size }
      const start = ranges.startOf(next)
      if (start > offset) return { flags: 0, end: Math.min(start, size) }
      return { flags: NBD_STATE_DIRTY, end: Math.min(ranges.endOf(next), size) }
    },
  }
}

/** Extents in one answer; a client asks again for the rest. */
const MAX_EXTENTS = 4096

/**
 * Lengths and flags of the extents of `[offset, offset + length)`, alternating; neighbours with the same flags are one.
 * At least one extent, and only one with `one`.
 */
export function listExtents(context: MetaContext, offset: number, length: number, one: boolean): number[] {
  const extents: number[] = []
  const limit = 2 * (one ? 1 : MAX_EXTENTS)
  for (let at = offset; at < offset + length; ) {
    const { flags, end } = context.extentAt(at)
    const part = Math.min(end, offset + length) - at
    if (extents.at(-1) === flags) extents[extents.length - 2]! += part
    else if (extents.length === limit) break
    else extents.push(part, flags)
    at += part
  }
  return extents
}

import { peekSize, viewOf } from '../bytes/le.js'
import { keyOf } from '../bytes/names.js'
import type { ReadAt } from '../bytes/read-at.js'
import { buildAccessAcl, buildDefaultAcl, createAclItems, type AclItems } from './acl.js'
import { damage } from './damage.js'
import { decodeHead } from './decode-entry.js'
import { createRecord } from './entry-record.js'
import {
  HEADER_SIZE, ITEM_ACL_DEFAULT, ITEM_ACL_DEFAULT_GROUP, ITEM_ACL_DEFAULT_USER, ITEM_ACL_GROUP, ITEM_ACL_GROUP_OBJ,
  ITEM_ACL_USER, ITEM_FCAPS, ITEM_QUOTA_PROJID, ITEM_XATTR, itemOf,
} from './format.js' // prettier-ignore
import { readGrowing } from './layout.js'

/** One extended attribute; both parts are copies. */
export interface Xattr {
  /** With its namespace, without NUL. */
  readonly name: Uint8Array
  readonly value: Uint8Array
}

const ATTRIBUTE_WINDOW = 4096
const CAPABILITY = Buffer.from('security.capability')
const ACL_ACCESS = Buffer.from('system.posix_acl_access')
const ACL_DEFAULT = Buffer.from('system.posix_acl_default')
/** Permission value that says "no such entry" in ACL_DEFAULT: all bits set. */
const ABSENT = 0xffff_ffff

/**
 * Extended attributes of the entry whose ENTRY header is at `entryOfs`: XATTR items as stored,
 * file capabilities as `security.capability`, ACLs in their xattr form. Of several attributes of
 * one name only the first is kept; an ACL that the kernel would not accept is left out.
 */
export async function readAttributes(stream: ReadAt, entryOfs: number): Promise<Xattr[]> {
  let found: Xattr[] = []
  await readGrowing(stream, entryOfs, stream.size, ATTRIBUTE_WINDOW, (view) => {
    const result = decodeAttributes(view, entryOfs, stream)
    if (typeof result === 'number') return result
    found = result
    return 0
  })
  return found
}

/** The same if all of it is in memory, else undefined. */
export function peekAttributes(stream: ReadAt, entryOfs: number): Xattr[] | undefined {
  let length = Math.min(ATTRIBUTE_WINDOW, stream.size - entryOfs)
  let bytes = stream.peek(entryOfs, length)
  if (bytes === undefined) {
    length = Math.min(HEADER_SIZE, length)
    bytes = stream.peek(entryOfs, length)
  }
  while (bytes !== undefined) {
    const result = decodeAttributes(viewOf(bytes), entryOfs, stream)
    if (typeof result !== 'number') return result
    length = result - entryOfs
    bytes = stream.peek(entryOfs, length)
  }
  return undefined
}

/** The attributes, or the offset up to which bytes are needed. `view` starts at the ENTRY header. */
function decodeAttributes(view: DataView, base: number, stream: ReadAt): Xattr[] | number {
  const head = createRecord()
  const need = decodeHead(view, base, base, stream.size, stream.name, head)
  if (need !== 0) return need
  // decodeHead has checked kinds, sizes, limits and places of every item up to the terminal one.
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
  const found: Xattr[] = []
  const acl = createAclItems()
  let capability: Uint8Array | undefined
  let at = peekSize(view, 8)
  for (; at + HEADER_SIZE <= bytes.length; ) {
    const item = itemOf(view.getInt32(at, true), view.getInt32(at + 4, true))
    const end = at + peekSize(view, at + 8)
    if (item === ITEM_XATTR) found.push(decodeXattr(bytes, at + HEADER_SIZE, end, base, stream.name))
    else if (item === ITEM_FCAPS) capability = bytes.slice(at + HEADER_SIZE, end)
    else if (item !== ITEM_QUOTA_PROJID && !collectAcl(acl, item, view, at)) break
    at = end
  }
  if (capability !== undefined) found.push({ name: CAPABILITY, value: capability })
  const access = buildAccessAcl(acl, head.mode)
  if (access !== undefined) found.push({ name: ACL_ACCESS, value: access })
  const defaults = buildDefaultAcl(acl)
  if (defaults !== undefined) found.push({ name: ACL_DEFAULT, value: defaults })
  return found.length > 1 ? withoutDuplicates(found) : found
}

function decodeXattr(bytes: Uint8Array, start: number, end: number, base: number, stream: string): Xattr {
  const nul = bytes.indexOf(0, start)
  if (nul < 0 || nul >= end) throw damage(stream, base + start - HEADER_SIZE, ITEM_XATTR, 'the name does not end in NUL')
  if (nul === start) throw damage(stream, base + start - HEADER_SIZE, ITEM_XATTR, 'the name is empty')
  return { name: bytes.slice(start, nul), value: bytes.slice(nul + 1, end) }
}

/** Takes the item if it belongs to an ACL. */
function collectAcl(acl: AclItems, item: number, view: DataView, at: number): boolean {
  const content = at + HEADER_SIZE
  switch (item) {
    case ITEM_ACL_USER:
      return collectNamed(acl.users, view, content)
    case ITEM_ACL_GROUP:
      return collectNamed(acl.groups, view, content)
    case ITEM_ACL_DEFAULT_USER:
      return collectNamed(acl.defaultUsers, view, content)
    case ITEM_ACL_DEFAULT_GROUP:
      return collectNamed(acl.defaultGroups, view, content)
    case ITEM_ACL_GROUP_OBJ:
      acl.groupObj = view.getUint32(content, true)
      return true
    case ITEM_ACL_DEFAULT: {
      const user = readPermission(view, content)
      const group = readPermission(view, content + 8)
      const other = readPermission(view, content + 16)
      acl.defaults = [user, group, other, readPermission(view, content + 24)]
      return true
    }
    default:
      return false
  }
}

/** u64 id, u64 permissions. An id above 32 bits becomes one that no valid ACL holds. */
function collectNamed(pairs: number[], view: DataView, at: number): true {
  pairs.push(view.getUint32(at + 4, true) === 0 ? view.getUint32(at, true) : ABSENT, view.getUint32(at + 8, true))
  return true
}

function readPermission(view: DataView, at: number): number | undefined {
  const lo = view.getUint32(at, true)
  return lo === ABSENT && view.getUint32(at + 4, true) === ABSENT ? undefined : lo
}

function withoutDuplicates(all: Xattr[]): Xattr[] {
  const seen = new Set<string>()
  return all.filter(({ name }) => {
    const key = keyOf(name)
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

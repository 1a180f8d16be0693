import { peekSize } from '../bytes/le.js'
import { cutOff, damage } from './damage.js'
import {
  FLAG_ACL, FLAG_FCAPS, FLAG_PAYLOAD_REF, FLAG_PROJID, FLAG_XATTR, KIND_BLOCK, KIND_CHAR, KIND_DIR, KIND_FIFO,
  KIND_FILE, KIND_HARDLINK, KIND_SOCKET, KIND_SYMLINK, type EntryRecord,
} from './entry-record.js' // prettier-ignore
import {
  ACL_DEFAULT_SIZE, ACL_GROUP_OBJ_SIZE, ACL_NAMED_SIZE, DEVICE_SIZE, ENTRY_AT, ENTRY_SIZE, ENTRY_V1_SIZE,
  HEADER_SIZE, ITEM_ACL_DEFAULT, ITEM_ACL_DEFAULT_GROUP, ITEM_ACL_DEFAULT_USER, ITEM_ACL_GROUP, ITEM_ACL_GROUP_OBJ,
  ITEM_ACL_USER, ITEM_DEVICE, ITEM_ENTRY, ITEM_ENTRY_V1, ITEM_FCAPS, ITEM_FILENAME, ITEM_GOODBYE, ITEM_HARDLINK,
  ITEM_NAMES, ITEM_PAYLOAD, ITEM_PAYLOAD_REF, ITEM_QUOTA_PROJID, ITEM_SYMLINK, ITEM_XATTR, MAX_ACL_ITEMS,
  MAX_ATTRIBUTE_BYTES, MAX_FILENAME_CONTENT, MAX_HARDLINK_CONTENT, MAX_NAME, MAX_SYMLINK_CONTENT, MAX_XATTR_CONTENT,
  MIN_FILENAME_CONTENT, MIN_HARDLINK_CONTENT, PAYLOAD_REF_SIZE, QUOTA_PROJID_SIZE, S_IFBLK, S_IFCHR, S_IFDIR,
  S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, itemOf,
} from './format.js' // prettier-ignore

const SLASH = 0x2f
const DOT = 0x2e
const NANOS = 1_000_000_000
const TWO_32 = 2 ** 32

/**
 * Decodes the child whose FILENAME header is at `fileOfs` into `out`. `view` holds the bytes of
 * `stream` from `base` on; nothing of the entry may lie at or behind `limit`. Returns 0 when done,
 * else the absolute offset up to which bytes are needed at least: call again with a view that
 * holds `[fileOfs, that)`. Anything else throws FormatError or TruncatedError; `out` then holds rubbish,
 * except `nameStart` and `nameEnd`, which name the bytes of the name if there is one (else 0).
 * Of a directory only its own head is decoded; `out.end` is left 0.
 */
export function decodeEntry(view: DataView, base: number, fileOfs: number, limit: number, stream: string, out: EntryRecord): number {
  out.nameStart = 0
  out.nameEnd = 0
  if (fileOfs + HEADER_SIZE > limit) throw cutOff(stream, fileOfs, ITEM_FILENAME, fileOfs + HEADER_SIZE, limit)
  const have = base + view.byteLength
  if (fileOfs + HEADER_SIZE > have) return fileOfs + HEADER_SIZE
  const at = fileOfs - base
  if (itemOf(view.getInt32(at, true), view.getInt32(at + 4, true)) !== ITEM_FILENAME) {
    throw damage(stream, fileOfs, ITEM_FILENAME, 'an entry does not start here', 'FILENAME', itemName(view, at))
  }
  const full = peekSize(view, at + 8)
  if (full < HEADER_SIZE + MIN_FILENAME_CONTENT || full > HEADER_SIZE + MAX_FILENAME_CONTENT) {
    throw damage(stream, fileOfs, ITEM_FILENAME, `size ${full}`, `17..${HEADER_SIZE + MAX_FILENAME_CONTENT}`, full)
  }
  const entryOfs = fileOfs + full
  if (entryOfs + HEADER_SIZE > limit) throw cutOff(stream, fileOfs, ITEM_FILENAME, entryOfs + HEADER_SIZE, limit)
  if (entryOfs + HEADER_SIZE > have) return entryOfs + HEADER_SIZE
  out.fileOfs = fileOfs
  out.nameStart = fileOfs + HEADER_SIZE
  out.nameEnd = entryOfs - 1
  checkName(view, at + HEADER_SIZE, entryOfs - base, stream, fileOfs)
  const e = entryOfs - base
  if (itemOf(view.getInt32(e, true), view.getInt32(e + 4, true)) === ITEM_HARDLINK) {
    return decodeHardlink(view, base, entryOfs, limit, stream, out)
  }
  return decodeHead(view, base, entryOfs, limit, stream, out)
}

/** Content `[at, end)` of a FILENAME: the name and its NUL. */
function checkName(view: DataView, at: number, end: number, stream: string, offset: number): void {
  const length = end - at - 1
  if (view.getUint8(end - 1) !== 0) throw damage(stream, offset, ITEM_FILENAME, 'the name does not end in NUL')
  if (length === 0) throw damage(stream, offset, ITEM_FILENAME, 'the name is empty')
  if (length > MAX_NAME) throw damage(stream, offset, ITEM_FILENAME, `a name of ${length} bytes`, `at most ${MAX_NAME}`, length)
  for (let i = at; i < end - 1; i++) {
    const byte = view.getUint8(i)
    if (byte === 0) throw damage(stream, offset, ITEM_FILENAME, 'NUL inside the name')
    if (byte === SLASH) throw damage(stream, offset, ITEM_FILENAME, "'/' inside the name")
  }
  if (view.getUint8(at) === DOT && (length === 1 || (length === 2 && view.getUint8(at + 1) === DOT))) {
    throw damage(stream, offset, ITEM_FILENAME, `the name is '${length === 1 ? '.' : '..'}'`)
  }
}

function decodeHardlink(view: DataView, base: number, pos: number, limit: number, stream: string, out: EntryRecord): number {
  const at = pos - base
  const full = peekSize(view, at + 8)
  if (full < HEADER_SIZE + MIN_HARDLINK_CONTENT || full > HEADER_SIZE + MAX_HARDLINK_CONTENT) {
    throw damage(stream, pos, ITEM_HARDLINK, `size ${full}`, `25..${HEADER_SIZE + MAX_HARDLINK_CONTENT}`, full)
  }
  if (pos + full > limit) throw cutOff(stream, pos, ITEM_HARDLINK, pos + full, limit)
  if (pos + full > base + view.byteLength) return pos + full
  if (view.getUint8(at + full - 1) !== 0) throw damage(stream, pos, ITEM_HARDLINK, 'the path does not end in NUL')
  const delta = peekSize(view, at + HEADER_SIZE)
  if (delta <= 0 || delta > out.fileOfs) {
    throw damage(stream, pos, ITEM_HARDLINK, 'the target is not an earlier entry', `1..${out.fileOfs}`, delta)
  }
  out.kind = KIND_HARDLINK
  out.flags = 0
  out.entryOfs = pos
  out.mode = out.uid = out.gid = out.mtimeSec = out.mtimeNsec = 0
  out.size = out.contentOfs = out.major = out.minor = out.end = 0
  out.linkTarget = out.fileOfs - delta
  out.itemEnd = pos + full
  return 0
}

/**
 * Decodes an entry from its ENTRY header at `entryOfs` on: stat, attributes (their presence only)
 * and the item that tells the kind. Arguments, result and errors as `decodeEntry`; leaves
 * `fileOfs` and the name alone.
 */
export function decodeHead(view: DataView, base: number, entryOfs: number, limit: number, stream: string, out: EntryRecord): number {
  let need = decodeStat(view, base, entryOfs, limit, stream, out)
  if (need !== 0) return need
  out.size = out.contentOfs = out.major = out.minor = out.linkTarget = out.end = 0
  need = skipAttributes(view, base, out.itemEnd, limit, stream, out)
  if (need !== 0) return need
  const pos = out.itemEnd
  const item = pos === limit ? ITEM_GOODBYE : itemOf(view.getInt32(pos - base, true), view.getInt32(pos - base + 4, true))
  switch (out.mode & S_IFMT) {
    case S_IFREG:
      return decodeContent(view, base, pos, limit, stream, item, out)
    case S_IFDIR:
      out.kind = KIND_DIR
      if (pos === limit) throw cutOff(stream, pos, ITEM_GOODBYE, pos + HEADER_SIZE, limit)
      break
    case S_IFLNK:
      return decodeSymlink(view, base, pos, limit, stream, item, out)
    case S_IFCHR:
    case S_IFBLK:
      return decodeDevice(view, base, pos, limit, stream, item, out)
    case S_IFIFO:
      out.kind = KIND_FIFO
      break
    case S_IFSOCK:
      out.kind = KIND_SOCKET
      break
    default:
      throw damage(stream, entryOfs, ITEM_ENTRY, `mode ${out.mode.toString(8)} has no file type`)
  }
  if (item !== ITEM_FILENAME && item !== ITEM_GOODBYE) throw misplaced(view, base, pos, stream, 'FILENAME or GOODBYE')
  return 0
}

/** ENTRY or ENTRY_V1; sets the stat fields, `entryOfs`, `flags` (0) and `itemEnd`. */
function decodeStat(view: DataView, base: number, pos: number, limit: number, stream: string, out: EntryRecord): number {
  if (pos + HEADER_SIZE > limit) throw cutOff(stream, pos, ITEM_ENTRY, pos + HEADER_SIZE, limit)
  const have = base + view.byteLength
  if (pos + HEADER_SIZE > have) return pos + ENTRY_SIZE
  const at = pos - base
  const item = itemOf(view.getInt32(at, true), view.getInt32(at + 4, true))
  if (item !== ITEM_ENTRY && item !== ITEM_ENTRY_V1) throw misplaced(view, base, pos, stream, 'ENTRY')
  const exact = item === ITEM_ENTRY ? ENTRY_SIZE : ENTRY_V1_SIZE
  const full = peekSize(view, at + 8)
  if (full !== exact) throw damage(stream, pos, item, `size ${full}`, exact, full)
  if (pos + exact > limit) throw cutOff(stream, pos, item, pos + exact, limit)
  if (pos + exact > have) return pos + exact
  const mode = view.getUint32(at + ENTRY_AT.modeLo, true)
  if (mode > 0xffff || view.getUint32(at + ENTRY_AT.modeHi, true) !== 0) {
    throw damage(stream, pos, item, 'mode has unknown bits', 'at most 0o177777', `0o${mode.toString(8)}`)
  }
  out.entryOfs = pos
  out.flags = 0
  out.mode = mode
  out.uid = view.getUint32(at + ENTRY_AT.uid, true)
  out.gid = view.getUint32(at + ENTRY_AT.gid, true)
  out.itemEnd = pos + exact
  const lo = view.getUint32(at + ENTRY_AT.mtime, true)
  if (item === ITEM_ENTRY_V1) {
    splitNanoseconds(view.getUint32(at + ENTRY_AT.mtime + 4, true), lo, out)
    return 0
  }
  const hi = view.getInt32(at + ENTRY_AT.mtime + 4, true)
  if (hi > 0x1f_ffff || hi < -0x20_0000) throw damage(stream, pos, item, 'mtime out of range')
  out.mtimeSec = hi * TWO_32 + lo
  out.mtimeNsec = view.getUint32(at + ENTRY_AT.nsec, true)
  if (out.mtimeNsec >= NANOS) throw damage(stream, pos, item, 'mtime nanoseconds', `below ${NANOS}`, out.mtimeNsec)
  return 0
}

/** u64 nanoseconds as seconds and the rest: long division in base 2^16, whose steps fit a double. */
function splitNanoseconds(hi: number, lo: number, out: EntryRecord): void {
  const a = (hi % NANOS) * 0x1_0000 + (lo >>> 16)
  const b = (a % NANOS) * 0x1_0000 + (lo & 0xffff)
  out.mtimeSec = Math.floor(hi / NANOS) * TWO_32 + Math.floor(a / NANOS) * 0x1_0000 + Math.floor(b / NANOS)
  out.mtimeNsec = b % NANOS
}

/** Steps over the attribute items; leaves `itemEnd` at a header that is in memory, or at `limit`. */
function skipAttributes(view: DataView, base: number, start: number, limit: number, stream: string, out: EntryRecord): number {
  const have = base + view.byteLength
  let pos = start
  let acls = 0
  let seen = 0
  for (;;) {
    if (pos === limit) break
    if (pos + HEADER_SIZE > limit) throw cutOff(stream, pos, 'item', pos + HEADER_SIZE, limit)
    if (pos + HEADER_SIZE > have) return pos + HEADER_SIZE
    const at = pos - base
    const item = itemOf(view.getInt32(at, true), view.getInt32(at + 4, true))
    let exact = 0
    switch (item) {
      case ITEM_XATTR:
        out.flags |= FLAG_XATTR
        break
      case ITEM_FCAPS:
        out.flags |= FLAG_FCAPS
        break
      case ITEM_QUOTA_PROJID:
        out.flags |= FLAG_PROJID
        exact = QUOTA_PROJID_SIZE
        break
      case ITEM_ACL_USER:
      case ITEM_ACL_GROUP:
      case ITEM_ACL_DEFAULT_USER:
      case ITEM_ACL_DEFAULT_GROUP:
        out.flags |= FLAG_ACL
        exact = ACL_NAMED_SIZE
        if (++acls > MAX_ACL_ITEMS) throw damage(stream, pos, item, 'too many ACL items', `at most ${MAX_ACL_ITEMS}`)
        break
      case ITEM_ACL_GROUP_OBJ:
        out.flags |= FLAG_ACL
        exact = ACL_GROUP_OBJ_SIZE
        break
      case ITEM_ACL_DEFAULT:
        out.flags |= FLAG_ACL
        exact = ACL_DEFAULT_SIZE
        break
      default:
        out.itemEnd = pos
        return 0
    }
    const full = peekSize(view, at + 8)
    if (exact !== 0 ? full !== exact : full < HEADER_SIZE || full > HEADER_SIZE + MAX_XATTR_CONTENT) {
      throw damage(stream, pos, item, `size ${full}`, exact === 0 ? `16..${HEADER_SIZE + MAX_XATTR_CONTENT}` : exact, full)
    }
    if (item === ITEM_FCAPS || item === ITEM_QUOTA_PROJID || item === ITEM_ACL_GROUP_OBJ || item === ITEM_ACL_DEFAULT) {
      if ((seen & (1 << item)) !== 0) throw damage(stream, pos, item, 'occurs twice in one entry')
      seen |= 1 << item
    }
    if (pos + full > limit) throw cutOff(stream, pos, item, pos + full, limit)
    pos += full
    if (pos - start > MAX_ATTRIBUTE_BYTES) throw damage(stream, start, item, 'too many attributes', `at most ${MAX_ATTRIBUTE_BYTES} bytes`)
  }
  out.itemEnd = pos
  return 0
}

function decodeContent(view: DataView, base: number, pos: number, limit: number, stream: string, item: number, out: EntryRecord): number {
  out.kind = KIND_FILE
  const at = pos - base
  if (pos === limit || (item !== ITEM_PAYLOAD && item !== ITEM_PAYLOAD_REF)) throw misplaced(view, base, pos, stream, 'PAYLOAD')
  const full = peekSize(view, at + 8)
  if (item === ITEM_PAYLOAD) {
    if (full < HEADER_SIZE) throw damage(stream, pos, item, `size ${full}`, 'at least 16', full)
    if (pos + full > limit) throw cutOff(stream, pos, item, pos + full, limit)
    out.contentOfs = pos
    out.size = full - HEADER_SIZE
    out.itemEnd = pos + full
    return 0
  }
  if (full !== PAYLOAD_REF_SIZE) throw damage(stream, pos, item, `size ${full}`, PAYLOAD_REF_SIZE, full)
  if (pos + full > limit) throw cutOff(stream, pos, item, pos + full, limit)
  if (pos + full > base + view.byteLength) return pos + full
  out.flags |= FLAG_PAYLOAD_REF
  out.contentOfs = peekSize(view, at + HEADER_SIZE)
  out.size = peekSize(view, at + HEADER_SIZE + 8)
  if (out.contentOfs < 0 || out.size < 0) throw damage(stream, pos, item, 'offset or size above 2^53-1')
  out.itemEnd = pos + full
  return 0
}

function decodeSymlink(view: DataView, base: number, pos: number, limit: number, stream: string, item: number, out: EntryRecord): number {
  out.kind = KIND_SYMLINK
  if (pos === limit || item !== ITEM_SYMLINK) throw misplaced(view, base, pos, stream, 'SYMLINK')
  const full = peekSize(view, pos - base + 8)
  if (full <= HEADER_SIZE || full > HEADER_SIZE + MAX_SYMLINK_CONTENT) {
    throw damage(stream, pos, item, `size ${full}`, `17..${HEADER_SIZE + MAX_SYMLINK_CONTENT}`, full)
  }
  if (pos + full > limit) throw cutOff(stream, pos, item, pos + full, limit)
  out.contentOfs = pos
  out.size = full - HEADER_SIZE - 1
  out.itemEnd = pos + full
  return 0
}

function decodeDevice(view: DataView, base: number, pos: number, limit: number, stream: string, item: number, out: EntryRecord): number {
  out.kind = (out.mode & S_IFMT) === S_IFCHR ? KIND_CHAR : KIND_BLOCK
  const at = pos - base
  if (pos === limit || item !== ITEM_DEVICE) throw misplaced(view, base, pos, stream, 'DEVICE')
  const full = peekSize(view, at + 8)
  if (full !== DEVICE_SIZE) throw damage(stream, pos, item, `size ${full}`, DEVICE_SIZE, full)
  if (pos + full > limit) throw cutOff(stream, pos, item, pos + full, limit)
  if (pos + full > base + view.byteLength) return pos + full
  if (view.getUint32(at + 20, true) !== 0 || view.getUint32(at + 28, true) !== 0) {
    throw damage(stream, pos, item, 'device number above 32 bits')
  }
  out.major = view.getUint32(at + 16, true)
  out.minor = view.getUint32(at + 24, true)
  out.itemEnd = pos + full
  return 0
}

function misplaced(view: DataView, base: number, pos: number, stream: string, expected: string): Error {
  const actual = pos - base + HEADER_SIZE <= view.byteLength ? itemName(view, pos - base) : 'the end'
  return damage(stream, pos, 'item', `${actual} where ${expected} must be`, expected, actual)
}

/** Name of the item whose header is at `at`, or its type in hex. */
function itemName(view: DataView, at: number): string {
  const code = itemOf(view.getInt32(at, true), view.getInt32(at + 4, true))
  return code !== 0 ? ITEM_NAMES[code]! : `0x${view.getBigUint64(at, true).toString(16).padStart(16, '0')}`
}

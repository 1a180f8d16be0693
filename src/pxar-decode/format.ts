/**
 * The pxar archive format: item types, exact sizes, caps.
 *
 *     archive-v1  = directory
 *     archive-v2  = FORMAT_VERSION(=2) [PRELUDE] directory      ; metadata stream of a split archive
 *     directory   = meta child* GOODBYE
 *     child       = FILENAME ( directory | file | symlink | device | fifo | socket | HARDLINK )
 *     meta        = (ENTRY | ENTRY_V1) attribute*
 *     attribute   = XATTR | ACL_USER | ACL_GROUP | ACL_GROUP_OBJ | ACL_DEFAULT | ACL_DEFAULT_USER
 *                 | ACL_DEFAULT_GROUP | FCAPS | QUOTA_PROJID
 *     file        = meta ( PAYLOAD | PAYLOAD_REF )
 *     symlink     = meta SYMLINK
 *     device      = meta DEVICE
 *     fifo,socket = meta
 *
 *     payload-stream = PAYLOAD_START_MARKER ( PAYLOAD | padding )* PAYLOAD_TAIL_MARKER
 *
 * An item is a 16-byte header (u64 type, u64 full size with the header) and its content. All
 * integers are little-endian and packed. A type is told by its two 32-bit halves, as int32.
 */

const KiB = 1024
const MiB = 1024 * KiB

export const HEADER_SIZE = 16

/** Item codes used inside the program; 0 is a type the format does not know. */
export const ITEM_UNKNOWN = 0
export const ITEM_FORMAT_VERSION = 1
export const ITEM_PRELUDE = 2
export const ITEM_ENTRY = 3
export const ITEM_ENTRY_V1 = 4
export const ITEM_FILENAME = 5
export const ITEM_SYMLINK = 6
export const ITEM_HARDLINK = 7
export const ITEM_DEVICE = 8
export const ITEM_XATTR = 9
export const ITEM_FCAPS = 10
export const ITEM_QUOTA_PROJID = 11
export const ITEM_ACL_USER = 12
export const ITEM_ACL_GROUP = 13
export const ITEM_ACL_GROUP_OBJ = 14
export const ITEM_ACL_DEFAULT = 15
export const ITEM_ACL_DEFAULT_USER = 16
export const ITEM_ACL_DEFAULT_GROUP = 17
export const ITEM_PAYLOAD = 18
export const ITEM_PAYLOAD_REF = 19
export const ITEM_GOODBYE = 20
export const ITEM_PAYLOAD_START_MARKER = 21
export const ITEM_PAYLOAD_TAIL_MARKER = 22

/** Names of the item codes, for messages. */
export const ITEM_NAMES: readonly string[] = [
  'unknown', 'FORMAT_VERSION', 'PRELUDE', 'ENTRY', 'ENTRY_V1', 'FILENAME', 'SYMLINK', 'HARDLINK', 'DEVICE', 'XATTR',
  'FCAPS', 'QUOTA_PROJID', 'ACL_USER', 'ACL_GROUP', 'ACL_GROUP_OBJ', 'ACL_DEFAULT', 'ACL_DEFAULT_USER',
  'ACL_DEFAULT_GROUP', 'PAYLOAD', 'PAYLOAD_REF', 'GOODBYE', 'PAYLOAD_START_MARKER', 'PAYLOAD_TAIL_MARKER',
] // prettier-ignore

/** Code of the item type with these halves (`getInt32` of bytes 0..4 and 4..8 of a header). */
export function itemOf(lo: number, hi: number): number {
  switch (lo) {
    case 0x063917b3 | 0: return hi === (0x16701121 | 0) ? ITEM_FILENAME : 0
    case 0xe588acef | 0: return hi === (0xd5956474 | 0) ? ITEM_ENTRY : 0
    case 0xc4ba977e | 0: return hi === (0x419d3d6b | 0) ? ITEM_PAYLOAD_REF : 0
    case 0x0b7c1a25 | 0: return hi === (0x28147a1b | 0) ? ITEM_PAYLOAD : 0
    case 0x42d5731d | 0: return hi === (0x2fec4fa6 | 0) ? ITEM_GOODBYE : 0
    case 0xb57dcd03 | 0: return hi === (0x0dab0229 | 0) ? ITEM_XATTR : 0
    case 0xdbf5dc5f | 0: return hi === (0x27f971e7 | 0) ? ITEM_SYMLINK : 0
    case 0x22bd7275 | 0: return hi === (0x51269c84 | 0) ? ITEM_HARDLINK : 0
    case 0x586d5ce9 | 0: return hi === (0x9fc9e906 | 0) ? ITEM_DEVICE : 0
    case 0xb5f7fb67 | 0: return hi === (0x2da9dd9d | 0) ? ITEM_FCAPS : 0
    case 0x2f7d1cbb | 0: return hi === (0xe07540e8 | 0) ? ITEM_QUOTA_PROJID : 0
    case 0x457d55b8 | 0: return hi === (0x2ce8540a | 0) ? ITEM_ACL_USER : 0
    case 0xb04c03ab | 0: return hi === (0x136e3ece | 0) ? ITEM_ACL_GROUP : 0
    case 0xe9582876 | 0: return hi === (0x10868031 | 0) ? ITEM_ACL_GROUP_OBJ : 0
    case 0x5a6896f5 | 0: return hi === (0xbbbb1341 | 0) ? ITEM_ACL_DEFAULT : 0
    case 0x0532cd1f | 0: return hi === (0xc89357b4 | 0) ? ITEM_ACL_DEFAULT_USER : 0
    case 0x16038ffe | 0: return hi === (0xf90a8a58 | 0) ? ITEM_ACL_DEFAULT_GROUP : 0
    case 0x1c1cceff | 0: return hi === (0x11da850a | 0) ? ITEM_ENTRY_V1 : 0
    case 0xdf16a40d | 0: return hi === (0x730f6c75 | 0) ? ITEM_FORMAT_VERSION : 0
    case 0x9f7b771b | 0: return hi === (0xe309d79d | 0) ? ITEM_PRELUDE : 0
    case 0x194a4ed2 | 0: return hi === (0x834c68c2 | 0) ? ITEM_PAYLOAD_START_MARKER : 0
    case 0x984c81b5 | 0: return hi === (0x6c72b78b | 0) ? ITEM_PAYLOAD_TAIL_MARKER : 0
    default: return ITEM_UNKNOWN
  }
} // prettier-ignore

/** Full sizes (header included) of the items whose size is fixed. */
export const FORMAT_VERSION_SIZE = 24
export const ENTRY_SIZE = 56
export const ENTRY_V1_SIZE = 48
export const DEVICE_SIZE = 32
export const QUOTA_PROJID_SIZE = 24
export const ACL_NAMED_SIZE = 32
export const ACL_GROUP_OBJ_SIZE = 24
export const ACL_DEFAULT_SIZE = 48
export const PAYLOAD_REF_SIZE = 32

/** Content of ENTRY and ENTRY_V1, counted from the item header. */
export const ENTRY_AT = { modeLo: 16, modeHi: 20, uid: 32, gid: 36, mtime: 40, nsec: 48 } as const

/** Content sizes of variable items: smallest and largest, without the header. */
export const MIN_FILENAME_CONTENT = 1
export const MAX_FILENAME_CONTENT = 4097
export const MAX_SYMLINK_CONTENT = 4097
export const MIN_HARDLINK_CONTENT = 9
export const MAX_HARDLINK_CONTENT = 4105
export const MAX_XATTR_CONTENT = 65791

/** Longest name Linux can show; the format allows 4096. */
export const MAX_NAME = 255

/** All attribute items of one entry together, headers included. */
export const MAX_ATTRIBUTE_BYTES = MiB
/** ACL items of one entry; a POSIX ACL of Linux has at most 8191 entries, and there may be two. */
export const MAX_ACL_ITEMS = 16384
export const MAX_PRELUDE = MiB

/** Smallest archive: ENTRY_V1 and an empty table. */
export const MIN_ARCHIVE = 88
/** Smallest child: FILENAME of one byte and a HARDLINK with an empty path. */
export const MIN_CHILD = 18 + 25

/** Row of a goodbye table: hash u64, backward distance from the table u64, extent u64. */
export const ROW_SIZE = 24
export const ROW_AT = { hash: 0, distance: 8, extent: 16 } as const
export const TAIL_MARKER_LO = 0x753e1555 | 0
export const TAIL_MARKER_HI = 0xef5eed5b | 0
/** Table without children: header and tail row. */
export const MIN_TABLE = HEADER_SIZE + ROW_SIZE
/** Children of one directory; its table alone is then 400 MB. */
export const MAX_DIR_ENTRIES = 2 ** 24

/** First possible offset of a PAYLOAD in a payload stream: behind the start marker. */
export const MIN_PAYLOAD_OFFSET = 16

/** File type bits of st_mode. */
export const S_IFMT = 0o170000
export const S_IFSOCK = 0o140000
export const S_IFLNK = 0o120000
export const S_IFREG = 0o100000
export const S_IFBLK = 0o060000
export const S_IFDIR = 0o040000
export const S_IFCHR = 0o020000
export const S_IFIFO = 0o010000

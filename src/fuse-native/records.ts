import type { Attr, FsStats } from '../tree/tree.js'

/** Words of the library's stat record (`populate_stat` in fuse-native.c); two words are a u64, low one first. */
const STAT_WORDS = 18
const STAT = {
  mode: 0, uid: 1, gid: 2, size: 3, nlink: 6, ino: 7, rdev: 8, blksize: 9, blocks: 10, atimeMs: 12, mtimeMs: 14, ctimeMs: 16,
} as const // prettier-ignore

/** Words of its statvfs record (`populate_statvfs`). */
const STATVFS_WORDS = 11
const STATVFS = { bsize: 0, frsize: 1, blocks: 2, files: 5, namemax: 10 } as const

const U32 = 2 ** 32
const BLOCK_SIZE = 4096
const NAME_MAX = 255
const S_IFMT = 0o170000
const PERMISSIONS = 0o777

/** What `-o uid=,gid=,umask=` show instead; undefined: as it is. */
export interface AttrOverride {
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  /** Permission bits become 0777 without these. */
  readonly umask?: number | undefined
}

/**
 * The stat record of a node, without the permissions `hidden`. Times are whole milliseconds, rounded down, and none is before 1970:
 * the library divides them as unsigned numbers.
 */
export function encodeStat(attr: Attr, ino: number, override: AttrOverride, hidden = 0): Uint32Array {
  const words = new Uint32Array(STAT_WORDS)
  const mode = override.umask === undefined ? attr.mode : (attr.mode & S_IFMT) | (PERMISSIONS & ~override.umask)
  words[STAT.mode] = mode & ~hidden
  words[STAT.uid] = override.uid ?? attr.uid
  words[STAT.gid] = override.gid ?? attr.gid
  setU64(words, STAT.size, attr.size)
  words[STAT.nlink] = attr.nlink
  words[STAT.ino] = ino
  words[STAT.rdev] = encodeDevice(attr.major, attr.minor)
  words[STAT.blksize] = attr.blksize
  setU64(words, STAT.blocks, attr.blocks)
  const ms = Math.max(0, attr.mtimeSec * 1000 + Math.floor(attr.mtimeNsec / 1_000_000))
  for (const at of [STAT.atimeMs, STAT.mtimeMs, STAT.ctimeMs]) setU64(words, at, ms)
  return words
}

/** The stat record of a directory entry: only the number and the type count. */
export function encodeListed(mode: number, ino: number): Uint32Array {
  const words = new Uint32Array(STAT_WORDS)
  words[STAT.mode] = mode
  words[STAT.ino] = ino
  return words
}

/** Blocks grow until their number fits in 32 bits. */
export function encodeStatvfs({ totalBytes, files }: FsStats): Uint32Array {
  let unit = BLOCK_SIZE
  while (totalBytes / unit > U32 - 1) unit *= 2
  const words = new Uint32Array(STATVFS_WORDS)
  words[STATVFS.bsize] = unit
  words[STATVFS.frsize] = unit
  words[STATVFS.blocks] = Math.ceil(totalBytes / unit)
  words[STATVFS.files] = Math.min(files, U32 - 1)
  words[STATVFS.namemax] = NAME_MAX
  return words
}

/** The low 32 bits of glibc's dev_t, which are also the kernel's: 12 bits of major, 20 of minor. */
function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0
}

function setU64(words: Uint32Array, at: number, value: number): void {
  words[at] = value % U32
  words[at + 1] = Math.floor(value / U32)
}

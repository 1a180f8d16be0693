import { writeInt64 } from '../../bytes/le.js'

/** fuse_out_header: in front of every reply. */
export const FUSE_OUT_HEADER_SIZE = 16
const OUT_HEADER = { len: 0, error: 4, unique: 8 } as const

/** Writes the header of a reply of `length` bytes in all; `errno` is 0 or positive. */
export function writeOutHeader(view: DataView, at: number, length: number, errno: number, uniqueHi: number, uniqueLo: number): void {
  view.setUint32(at + OUT_HEADER.len, length, true)
  view.setInt32(at + OUT_HEADER.error, -errno, true)
  view.setUint32(at + OUT_HEADER.unique, uniqueLo, true)
  view.setUint32(at + OUT_HEADER.unique + 4, uniqueHi, true)
}

/** fuse_open_out: handle and FOPEN flags. */
export const FUSE_OPEN_OUT_SIZE = 16
export const FOPEN_DIRECT_IO = 1
export const FOPEN_KEEP_CACHE = 2
export const FOPEN_CACHE_DIR = 8
export const FOPEN_NOFLUSH = 32

export function writeOpenOut(view: DataView, at: number, fh: number, flags: number): void {
  writeInt64(view, at, fh)
  view.setUint32(at + 8, flags, true)
  view.setUint32(at + 12, 0, true)
}

/** fuse_statfs_out. */
export const FUSE_STATFS_OUT_SIZE = 80
const STATFS_OUT = { blocks: 0, bfree: 8, bavail: 16, files: 24, ffree: 32, bsize: 40, namelen: 44, frsize: 48 } as const

/** A full, read-only file system: nothing free. */
export function writeStatfsOut(view: DataView, at: number, blocks: number, files: number, blockSize: number, nameLength: number): void {
  for (let i = 0; i < FUSE_STATFS_OUT_SIZE; i += 4) view.setUint32(at + i, 0, true)
  writeInt64(view, at + STATFS_OUT.blocks, blocks)
  writeInt64(view, at + STATFS_OUT.files, files)
  view.setUint32(at + STATFS_OUT.bsize, blockSize, true)
  view.setUint32(at + STATFS_OUT.namelen, nameLength, true)
  view.setUint32(at + STATFS_OUT.frsize, blockSize, true)
}

/** fuse_lseek_out. */
export const FUSE_LSEEK_OUT_SIZE = 8

export function writeLseekOut(view: DataView, at: number, offset: number): void {
  writeInt64(view, at, offset)
}

/** fuse_getxattr_out: the length, for a request that has no room. */
export const FUSE_GETXATTR_OUT_SIZE = 8

export function writeGetxattrOut(view: DataView, at: number, size: number): void {
  view.setUint32(at, size, true)
  view.setUint32(at + 4, 0, true)
}

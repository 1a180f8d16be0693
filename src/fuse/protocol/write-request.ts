import { peekSize } from '../../bytes/le.js'
import { BODY } from './request.js'

/** fuse_write_in; the bytes follow. Offsets from the start of the request. */
const WRITE_IN = { fh: BODY, offset: BODY + 8, size: BODY + 16, data: BODY + 40 } as const

/** -1 when it is above 2^53-1. */
export function writeOffset(view: DataView): number {
  return peekSize(view, WRITE_IN.offset)
}

/** The bytes to write, a view; undefined when the request is shorter than it says. */
export function writeData(view: DataView, bytes: Uint8Array, length: number): Uint8Array | undefined {
  const size = view.getUint32(WRITE_IN.size, true)
  return WRITE_IN.data + size === length ? bytes.subarray(WRITE_IN.data, length) : undefined
}

/** fuse_fallocate_in. */
const FALLOCATE_IN = { offset: BODY + 8, length: BODY + 16, mode: BODY + 24 } as const
export const FALLOC_FL_KEEP_SIZE = 1
export const FALLOC_FL_PUNCH_HOLE = 2
export const FALLOC_FL_ZERO_RANGE = 16

export function fallocateOffset(view: DataView): number {
  return peekSize(view, FALLOCATE_IN.offset)
}

export function fallocateLength(view: DataView): number {
  return peekSize(view, FALLOCATE_IN.length)
}

export function fallocateMode(view: DataView): number {
  return view.getUint32(FALLOCATE_IN.mode, true)
}

/** fuse_setattr_in: which attributes are to change, and the size that is wanted. */
const SETATTR_IN = { valid: BODY, size: BODY + 16 } as const
export const FATTR_SIZE = 1 << 3
export const FATTR_ATIME = 1 << 4
export const FATTR_MTIME = 1 << 5
export const FATTR_FH = 1 << 6
export const FATTR_ATIME_NOW = 1 << 7
export const FATTR_MTIME_NOW = 1 << 8
export const FATTR_LOCKOWNER = 1 << 9
export const FATTR_CTIME = 1 << 10

export function setattrValid(view: DataView): number {
  return view.getUint32(SETATTR_IN.valid, true)
}

export function setattrSize(view: DataView): number {
  return peekSize(view, SETATTR_IN.size)
}

/** fuse_write_out. */
export const FUSE_WRITE_OUT_SIZE = 8

export function writeWriteOut(view: DataView, at: number, size: number): void {
  view.setUint32(at, size, true)
  view.setUint32(at + 4, 0, true)
}

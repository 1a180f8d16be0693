/**
 * fuse_attr (88 bytes), fuse_entry_out (128) and fuse_attr_out (104) of the kernel's
 * include/uapi/linux/fuse.h, little-endian.
 */
export const FUSE_ATTR_SIZE = 88
export const FUSE_ATTR = {
  ino: 0, size: 8, blocks: 16, atime: 24, mtime: 32, ctime: 40, atimensec: 48, mtimensec: 52, ctimensec: 56,
  mode: 60, nlink: 64, uid: 68, gid: 72, rdev: 76, blksize: 80, flags: 84,
} as const // prettier-ignore

export const FUSE_ENTRY_OUT_SIZE = 128
export const FUSE_ENTRY_OUT = {
  nodeid: 0, generation: 8, entryValid: 16, attrValid: 24, entryValidNsec: 32, attrValidNsec: 36, attr: 40,
} as const // prettier-ignore

export const FUSE_ATTR_OUT_SIZE = 104
export const FUSE_ATTR_OUT = { attrValid: 0, attrValidNsec: 8, dummy: 12, attr: 16 } as const

/**
 * The kernel's 32-bit device number (`new_encode_dev`): minor bits 0-7, major in bits 8-19, the
 * rest of the minor in bits 20-31. Parts that do not fit are cut.
 */
export function encodeRdev(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0
}

/** Writes a duration in seconds (>= 0, may be fractional) as u64 seconds and u32 nanoseconds. */
export function writeValidity(view: DataView, atSeconds: number, atNsec: number, seconds: number): void {
  const whole = Math.floor(seconds)
  view.setUint32(atSeconds, whole, true)
  view.setUint32(atSeconds + 4, 0, true)
  view.setUint32(atNsec, Math.floor((seconds - whole) * 1e9), true)
}

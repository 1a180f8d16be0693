import { BODY } from './request.js'

/** Protocol this program speaks: major 7, minor 31 (Linux 5.4) to 45. */
export const FUSE_KERNEL_VERSION = 7
export const FUSE_MIN_MINOR = 31
export const FUSE_MAX_MINOR = 45

/** fuse_init_in: 16 bytes before 7.36, 64 since. */
const INIT_IN = { major: BODY, minor: BODY + 4, maxReadahead: BODY + 8, flags: BODY + 12, flags2: BODY + 16 } as const
const INIT_IN_LONG_END = BODY + 64

/** fuse_init_out. */
export const FUSE_INIT_OUT_SIZE = 64
const INIT_OUT = {
  major: 0, minor: 4, maxReadahead: 8, flags: 12, maxBackground: 16, congestionThreshold: 18, maxWrite: 20,
  timeGran: 24, maxPages: 28, flags2: 32, maxStackDepth: 36, requestTimeout: 40,
} as const // prettier-ignore

/** Bit numbers of the INIT flags; 32 and above travel in flags2. */
export const INIT_FLAGS = {
  ASYNC_READ: 0, POSIX_LOCKS: 1, FILE_OPS: 2, ATOMIC_O_TRUNC: 3, EXPORT_SUPPORT: 4, BIG_WRITES: 5, DONT_MASK: 6,
  SPLICE_WRITE: 7, SPLICE_MOVE: 8, SPLICE_READ: 9, FLOCK_LOCKS: 10, HAS_IOCTL_DIR: 11, AUTO_INVAL_DATA: 12,
  DO_READDIRPLUS: 13, READDIRPLUS_AUTO: 14, ASYNC_DIO: 15, WRITEBACK_CACHE: 16, NO_OPEN_SUPPORT: 17,
  PARALLEL_DIROPS: 18, HANDLE_KILLPRIV: 19, POSIX_ACL: 20, ABORT_ERROR: 21, MAX_PAGES: 22, CACHE_SYMLINKS: 23,
  NO_OPENDIR_SUPPORT: 24, EXPLICIT_INVAL_DATA: 25, MAP_ALIGNMENT: 26, SUBMOUNTS: 27, HANDLE_KILLPRIV_V2: 28,
  SETXATTR_EXT: 29, INIT_EXT: 30, INIT_RESERVED: 31, SECURITY_CTX: 32, HAS_INODE_DAX: 33, CREATE_SUPP_GROUP: 34,
  HAS_EXPIRE_ONLY: 35, DIRECT_IO_ALLOW_MMAP: 36, PASSTHROUGH: 37, NO_EXPORT_SUPPORT: 38, HAS_RESEND: 39,
  ALLOW_IDMAP: 40, OVER_IO_URING: 41, REQUEST_TIMEOUT: 42,
} as const // prettier-ignore

export type InitFlag = keyof typeof INIT_FLAGS

/**
 * What a read-only server wants. AUTO_INVAL_DATA makes the kernel look at the mtime again when
 * attributes with a short validity run out, and drop pages and cached listings that are older;
 * what is valid for ever is never looked at again. READDIRPLUS_AUTO is left out: it makes walks
 * that stat four times slower.
 */
export const WANTED_FLAGS: readonly InitFlag[] = [
  'ASYNC_READ', 'AUTO_INVAL_DATA', 'DO_READDIRPLUS', 'ASYNC_DIO', 'PARALLEL_DIROPS', 'ABORT_ERROR', 'MAX_PAGES',
  'CACHE_SYMLINKS', 'INIT_EXT', 'DIRECT_IO_ALLOW_MMAP', 'NO_EXPORT_SUPPORT',
] // prettier-ignore

export interface InitWishes {
  readonly flags: readonly InitFlag[]
  /** Bytes; the kernel takes the smaller of this and its own. */
  readonly maxReadahead: number
  /** Asynchronous requests in flight. */
  readonly maxBackground: number
  readonly congestionThreshold: number
  /** Bytes; decides only how large a request buffer must be. */
  readonly maxWrite: number
  /** Largest request in pages of 4 KiB. */
  readonly maxPages: number
}

export const DEFAULT_WISHES: InitWishes = {
  flags: WANTED_FLAGS,
  maxReadahead: 0x7fff_ffff,
  maxBackground: 64,
  congestionThreshold: 48,
  maxWrite: 4096,
  maxPages: 256,
}

/** Smallest legal request buffer for a given max_write. */
export function requestBufferSize(maxWrite: number): number {
  return Math.max(8192, maxWrite + 4096)
}

export interface Negotiated {
  /** Version spoken from now on. */
  readonly minor: number
  readonly kernelMinor: number
  readonly flagsLo: number
  readonly flagsHi: number
  readonly wishes: InitWishes
  readonly kernelMaxReadahead: number
  /** Flags by name: wanted and offered; offered but not wanted; wanted but not offered. */
  readonly enabled: readonly string[]
  readonly refused: readonly string[]
  readonly absent: readonly string[]
}

export type InitOutcome =
  | { readonly kind: 'agreed'; readonly negotiated: Negotiated }
  /** A later major version: answer our own and wait for a second INIT. */
  | { readonly kind: 'again' }
  | { readonly kind: 'refused'; readonly message: string }

/** Decides the answer to the INIT request in `view[0, length)`. */
export function negotiateInit(view: DataView, length: number, wishes: InitWishes): InitOutcome {
  const major = view.getUint32(INIT_IN.major, true)
  const minor = view.getUint32(INIT_IN.minor, true)
  if (major > FUSE_KERNEL_VERSION) return { kind: 'again' }
  if (major < FUSE_KERNEL_VERSION || minor < FUSE_MIN_MINOR) {
    const message = `This kernel speaks FUSE ${major}.${minor}; at least ${FUSE_KERNEL_VERSION}.${FUSE_MIN_MINOR} (Linux 5.4) is needed.`
    return { kind: 'refused', message }
  }
  const offeredLo = view.getUint32(INIT_IN.flags, true)
  const long = length >= INIT_IN_LONG_END && (offeredLo & (1 << INIT_FLAGS.INIT_EXT)) !== 0
  const offeredHi = long ? view.getUint32(INIT_IN.flags2, true) : 0
  const enabled: string[] = []
  const refused: string[] = []
  const absent: string[] = []
  let flagsLo = 0
  let flagsHi = 0
  for (const [name, bit] of Object.entries(INIT_FLAGS)) {
    const mask = bit < 32 ? (1 << bit) >>> 0 : (1 << (bit - 32)) >>> 0
    const offered = ((bit < 32 ? offeredLo : offeredHi) & mask) !== 0
    const wanted = (wishes.flags as readonly string[]).includes(name)
    if (wanted && offered) {
      enabled.push(name)
      if (bit < 32) flagsLo = (flagsLo | mask) >>> 0
      else flagsHi = (flagsHi | mask) >>> 0
    } else if (offered) {
      refused.push(name)
    } else if (wanted) {
      absent.push(name)
    }
  }
  return {
    kind: 'agreed',
    negotiated: {
      minor: Math.min(minor, FUSE_MAX_MINOR),
      kernelMinor: minor,
      flagsLo,
      flagsHi,
      wishes,
      kernelMaxReadahead: view.getUint32(INIT_IN.maxReadahead, true),
      enabled,
      refused,
      absent,
    },
  }
}

/** Writes the fuse_init_out of an agreement. */
export function writeInitOut(view: DataView, at: number, negotiated: Negotiated): void {
  const { wishes } = negotiated
  for (let i = 0; i < FUSE_INIT_OUT_SIZE; i += 4) view.setUint32(at + i, 0, true)
  view.setUint32(at + INIT_OUT.major, FUSE_KERNEL_VERSION, true)
  view.setUint32(at + INIT_OUT.minor, negotiated.minor, true)
  view.setUint32(at + INIT_OUT.maxReadahead, wishes.maxReadahead, true)
  view.setUint32(at + INIT_OUT.flags, negotiated.flagsLo, true)
  view.setUint16(at + INIT_OUT.maxBackground, wishes.maxBackground, true)
  view.setUint16(at + INIT_OUT.congestionThreshold, wishes.congestionThreshold, true)
  view.setUint32(at + INIT_OUT.maxWrite, wishes.maxWrite, true)
  view.setUint32(at + INIT_OUT.timeGran, 1, true)
  view.setUint16(at + INIT_OUT.maxPages, wishes.maxPages, true)
  view.setUint32(at + INIT_OUT.flags2, negotiated.flagsHi, true)
}

/** Writes the answer to a later major version: ours, and nothing else. */
export function writeInitAgain(view: DataView, at: number): void {
  for (let i = 0; i < FUSE_INIT_OUT_SIZE; i += 4) view.setUint32(at + i, 0, true)
  view.setUint32(at + INIT_OUT.major, FUSE_KERNEL_VERSION, true)
  view.setUint32(at + INIT_OUT.minor, FUSE_MAX_MINOR, true)
}

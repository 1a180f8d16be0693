import { constants } from 'node:fs'
import { constants as system } from 'node:os'
import { bindCall, koffi } from './koffi.js'

/**
 * File operations relative to an open folder, by names that are bytes. Node has none of them, and whoever writes what
 * somebody else has named needs them: a path may be swapped for a link between two calls, a descriptor may not, and
 * paths longer than PATH_MAX have no other way. Each call returns its result, or the negative errno; none throws.
 */
export interface FileCalls {
  readonly openat: (dir: number, name: Uint8Array, flags: number, mode: number) => number
  readonly close: (fd: number) => number
  readonly mkdirat: (dir: number, name: Uint8Array, mode: number) => number
  readonly mknodat: (dir: number, name: Uint8Array, mode: number, major: number, minor: number) => number
  readonly symlinkat: (target: Uint8Array, dir: number, name: Uint8Array) => number
  readonly linkat: (fromDir: number, from: Uint8Array, toDir: number, to: Uint8Array) => number
  readonly renameat: (dir: number, from: Uint8Array, to: Uint8Array) => number
  readonly unlinkat: (dir: number, name: Uint8Array) => number
  /** Owner of what `fd` is open on. */
  readonly fchown: (fd: number, uid: number, gid: number) => number
  /** Owner of a name, of a link itself when it is one. */
  readonly fchownat: (dir: number, name: Uint8Array, uid: number, gid: number) => number
  readonly fchmod: (fd: number, mode: number) => number
  /** By path, following links: for `/proc/self/fd/N` of what cannot be opened otherwise. */
  readonly chmod: (path: Uint8Array, mode: number) => number
  /** Times of what `fd` is open on; access and modification alike. */
  readonly futimens: (fd: number, seconds: number, nanoseconds: number) => number
  /** Times of a name, of a link itself when it is one. */
  readonly utimensat: (dir: number, name: Uint8Array, seconds: number, nanoseconds: number) => number
  readonly fsetxattr: (fd: number, name: Uint8Array, value: Uint8Array) => number
  readonly fremovexattr: (fd: number, name: Uint8Array) => number
  readonly setxattr: (path: Uint8Array, name: Uint8Array, value: Uint8Array) => number
  /** Bytes of `target` used. */
  readonly readlinkat: (dir: number, name: Uint8Array, target: Uint8Array) => number
  /** Attributes of a name, of a link itself when it is one, into `into`. */
  readonly stat: (dir: number, name: Uint8Array, into: FileStat) => number
  readonly fstat: (fd: number, into: FileStat) => number
  readonly pwrite: (fd: number, bytes: Uint8Array, length: number, offset: number) => number
  readonly ftruncate: (fd: number, size: number) => number
  /** Writes what is in memory of the whole file system that `fd` is in to its disk. */
  readonly syncfs: (fd: number) => number
  /** Forgets what is in memory of a file, or of a range of it, and was written, so that the next read asks the disk. */
  readonly dropCache: (fd: number, offset?: number, length?: number) => number
  /** Position from the end of the file (SEEK_END): its size, of a block device, too. */
  readonly seekEnd: (fd: number) => number
  /** Makes `[offset, offset+length)` read as zeros without changing the size. */
  readonly punchHole: (fd: number, offset: number, length: number) => number
}

/** A mutable record that calls fill. */
export interface FileStat {
  mode: number
  uid: number
  gid: number
  nlink: number
  size: number
  mtimeSec: number
  mtimeNsec: number
  rdevMajor: number
  rdevMinor: number
  /** Device and inode as a text; the same only for the same file. */
  identity: string
}

export function emptyStat(): FileStat {
  return { mode: 0, uid: 0, gid: 0, nlink: 0, size: 0, mtimeSec: 0, mtimeNsec: 0, rdevMajor: 0, rdevMinor: 0, identity: '' }
}

const O_PATH = 0o10000000
/** A folder, not a link to one. */
export const OPEN_FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | 0o2000000
/** A new file for writing. */
export const CREATE_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | 0o2000000
/** A handle on whatever a name is, without opening it. */
export const OPEN_HANDLE = O_PATH | constants.O_NOFOLLOW | 0o2000000

export const { EACCES, EEXIST, ENOENT } = system.errno

const AT_SYMLINK_NOFOLLOW = 0x100
const AT_EMPTY_PATH = 0x1000
const STATX_BASIC_STATS = 0x7ff
const FALLOC_FL_KEEP_SIZE = 1
const FALLOC_FL_PUNCH_HOLE = 2

const POSIX_FADV_DONTNEED = 4
const SEEK_END = 2

const PATH_MAX = 4096
const TIMESPECS = 32
const STATX_SIZE = 256

let loaded: FileCalls | undefined

/** Binds the calls at the first use by a thread. MountError when that is not possible on this machine. */
export function files(): FileCalls {
  return (loaded ??= load())
}

function load(): FileCalls {
  const raw = {
    openat: bindCall('int openat(int, void *, int, unsigned int)'),
    mkdirat: bindCall('int mkdirat(int, void *, unsigned int)'),
    mknodat: bindCall('int mknodat(int, void *, unsigned int, uint64_t)'),
    symlinkat: bindCall('int symlinkat(void *, int, void *)'),
    linkat: bindCall('int linkat(int, void *, int, void *, int)'),
    renameat: bindCall('int renameat(int, void *, int, void *)'),
    unlinkat: bindCall('int unlinkat(int, void *, int)'),
    fchownat: bindCall('int fchownat(int, void *, unsigned int, unsigned int, int)'),
    chmod: bindCall('int chmod(void *, unsigned int)'),
    futimens: bindCall('int futimens(int, void *)'),
    utimensat: bindCall('int utimensat(int, void *, void *, int)'),
    fsetxattr: bindCall('int fsetxattr(int, void *, void *, size_t, int)'),
    setxattr: bindCall('int setxattr(void *, void *, void *, size_t, int)'),
    fremovexattr: bindCall('int fremovexattr(int, void *)'),
    readlinkat: bindCall('intptr_t readlinkat(int, void *, void *, size_t)'),
    statx: bindCall('int statx(int, void *, int, unsigned int, void *)'),
    ftruncate: bindCall('int ftruncate(int, int64_t)'),
    syncfs: bindCall('int syncfs(int)'),
    fadvise: bindCall('int posix_fadvise(int, int64_t, int64_t, int)'),
    lseek: bindCall('int64_t lseek(int, int64_t, int)'),
    fallocate: bindCall('int fallocate(int, int, int64_t, int64_t)'),
  }
  // Three arguments at most keep the fast path of a call without rest arguments worth it.
  const library = koffi().load(null)
  const rawClose = library.func('int close(int)')
  const rawChmod = library.func('int fchmod(int, unsigned int)')
  const rawChown = library.func('int fchown(int, unsigned int, unsigned int)')
  const rawWrite = library.func('intptr_t pwrite(int, void *, size_t, int64_t)')
  const result = (value: number): number => (value < 0 ? -koffi().errno() : value)
  const [first, second] = [Buffer.allocUnsafeSlow(PATH_MAX + 1), Buffer.allocUnsafeSlow(PATH_MAX + 1)]
  const empty = Buffer.alloc(1)
  const times = Buffer.alloc(TIMESPECS)
  const statx = Buffer.alloc(STATX_SIZE)
  return {
    openat: (dir, name, flags, mode) => raw.openat(dir, put(first, name), flags, mode),
    close: (fd) => result(rawClose(fd)),
    mkdirat: (dir, name, mode) => raw.mkdirat(dir, put(first, name), mode),
    mknodat: (dir, name, mode, major, minor) => raw.mknodat(dir, put(first, name), mode, makeDevice(major, minor)),
    symlinkat: (target, dir, name) => raw.symlinkat(put(first, target), dir, put(second, name)),
    linkat: (fromDir, from, toDir, to) => raw.linkat(fromDir, put(first, from), toDir, put(second, to), 0),
    renameat: (dir, from, to) => raw.renameat(dir, put(first, from), dir, put(second, to)),
    unlinkat: (dir, name) => raw.unlinkat(dir, put(first, name), 0),
    fchown: (fd, uid, gid) => result(rawChown(fd, uid, gid)),
    fchownat: (dir, name, uid, gid) => raw.fchownat(dir, put(first, name), uid, gid, AT_SYMLINK_NOFOLLOW),
    fchmod: (fd, mode) => result(rawChmod(fd, mode)),
    chmod: (path, mode) => raw.chmod(put(first, path), mode),
    futimens: (fd, seconds, nanoseconds) => raw.futimens(fd, putTimes(times, seconds, nanoseconds)),
    utimensat: (dir, name, seconds, nanoseconds) => raw.utimensat(dir, put(first, name), putTimes(times, seconds, nanoseconds), AT_SYMLINK_NOFOLLOW),
    fsetxattr: (fd, name, value) => raw.fsetxattr(fd, put(first, name), value.length === 0 ? empty : value, value.length, 0),
    setxattr: (path, name, value) => raw.setxattr(put(first, path), put(second, name), value.length === 0 ? empty : value, value.length, 0),
    fremovexattr: (fd, name) => raw.fremovexattr(fd, put(first, name)),
    readlinkat: (dir, name, target) => raw.readlinkat(dir, put(first, name), target, target.length),
    stat: (dir, name, into) => readStat(raw.statx(dir, put(first, name), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, statx), statx, into),
    fstat: (fd, into) => readStat(raw.statx(fd, empty, AT_EMPTY_PATH, STATX_BASIC_STATS, statx), statx, into),
    pwrite: (fd, bytes, length, offset) => result(rawWrite(fd, bytes, length, offset)),
    ftruncate: (fd, size) => raw.ftruncate(fd, size),
    syncfs: (fd) => raw.syncfs(fd),
    dropCache: (fd, offset = 0, length = 0) => raw.fadvise(fd, offset, length, POSIX_FADV_DONTNEED),
    seekEnd: (fd) => raw.lseek(fd, 0, SEEK_END),
    punchHole: (fd, offset, length) => raw.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length),
  }
}

/** A name as C wants it, in memory that is used again. Too long ones stay too long, so that the kernel refuses them. */
function put(into: Buffer, name: Uint8Array): Buffer {
  const length = Math.min(name.length, PATH_MAX)
  into.set(length === name.length ? name : name.subarray(0, length), 0)
  into[length] = 0
  return into
}

/** Two `struct timespec` of 64-bit Linux: access and modification. */
function putTimes(into: Buffer, seconds: number, nanoseconds: number): Buffer {
  for (const at of [0, 16]) {
    into.writeInt32LE(Math.floor(seconds / 2 ** 32), at + 4)
    into.writeUInt32LE(seconds - Math.floor(seconds / 2 ** 32) * 2 ** 32, at)
    into.writeUInt32LE(nanoseconds, at + 8)
  }
  return into
}

/** `struct statx`, the same on every processor (include/uapi/linux/stat.h). */
function readStat(result: number, from: Buffer, into: FileStat): number {
  if (result < 0) return result
  into.nlink = from.readUInt32LE(16)
  into.uid = from.readUInt32LE(20)
  into.gid = from.readUInt32LE(24)
  into.mode = from.readUInt16LE(28)
  into.size = readU64(from, 40)
  into.mtimeSec = from.readInt32LE(116) * 2 ** 32 + from.readUInt32LE(112)
  into.mtimeNsec = from.readUInt32LE(120)
  into.rdevMajor = from.readUInt32LE(128)
  into.rdevMinor = from.readUInt32LE(132)
  into.identity = `${from.readUInt32LE(136)}:${from.readUInt32LE(140)}:${from.readUInt32LE(36)}:${from.readUInt32LE(32)}`
  return result
}

function readU64(from: Buffer, at: number): number {
  return from.readUInt32LE(at + 4) * 2 ** 32 + from.readUInt32LE(at)
}

/** `dev_t` as the C library packs it (makedev(3)). */
function makeDevice(major: number, minor: number): bigint {
  const [a, b] = [BigInt(major), BigInt(minor)]
  return ((a & 0xfffff000n) << 32n) | ((a & 0xfffn) << 8n) | ((b & 0xffffff00n) << 12n) | (b & 0xffn)
}

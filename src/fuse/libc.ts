import { nameOfErrno } from '../errors/errno.js'
import { SourceError } from '../errors/errors.js'
import { bindCall as bind, koffi as loadKoffi } from '../posix/koffi.js'

/**
 * The system calls Node has no function for. Every call returns its result, or the negative
 * errno; none throws (a thrown error costs twenty times the call). Paths are bytes: use
 * `cString`. Calls block the thread that makes them.
 */
export interface Libc {
  readonly mount: (source: Buffer, target: Buffer, type: Buffer, flags: number, data: Buffer) => number
  readonly umount2: (target: Buffer, flags: number) => number
  /** `fds` receives two i32. */
  readonly socketpair: (domain: number, type: number, protocol: number, fds: Buffer) => number
  readonly recvmsg: (fd: number, msghdr: bigint, flags: number) => number
  readonly fcntl: (fd: number, command: number, argument: number) => number
  readonly close: (fd: number) => number
  /** `pollfds`: 8 bytes each (i32 fd, i16 events, i16 revents). */
  readonly poll: (pollfds: Buffer, count: number, timeoutMs: number) => number
  /** The same on a thread of the FFI's own pool. */
  readonly pollAsync: (pollfds: Buffer, count: number, timeoutMs: number) => Promise<number>
  readonly eventfd: (initial: number, flags: number) => number
  readonly ioctl: (fd: number, request: number, argument: Buffer | null) => number
  readonly read: (fd: number, bytes: Uint8Array, length: number) => number
  readonly write: (fd: number, bytes: Uint8Array, length: number) => number
  /** Address of memory that stays where it is: an off-heap buffer that is kept alive. */
  readonly addressOf: (bytes: Uint8Array) => bigint
}

export const F_SETFD = 2
export const F_GETFL = 3
export const F_SETFL = 4
export const O_NONBLOCK = 0o4000
export const AF_UNIX = 1
export const SOCK_STREAM = 1
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
export const MSG_DONTWAIT = 0x40
export const MSG_CMSG_CLOEXEC = 0x40000000
export const POLLIN = 1
export const POLLFD_SIZE = 8

export const EPERM = 1
export const ENOENT = 2
export const EINTR = 4
export const EAGAIN = 11
export const ENODEV = 19
export const EINVAL = 22
export const ECONNABORTED = 103

let loaded: Libc | undefined

/**
 * Loads the FFI at the first call (about 7 ms). MountError when it has no build for this
 * machine.
 */
export function libc(): Libc {
  return (loaded ??= load())
}

function load(): Libc {
  const koffi = loadKoffi()
  const library = koffi.load(null)
  // The three calls of the session loop are bound by hand: rest arguments cost as much as the call.
  const rawRead = library.func('intptr_t read(int, void *, size_t)')
  const rawWrite = library.func('intptr_t write(int, void *, size_t)')
  const rawPoll = library.func('int poll(void *, unsigned long, int)')
  return {
    mount: bind('int mount(void *, void *, void *, unsigned long, void *)'),
    umount2: bind('int umount2(void *, int)'),
    socketpair: bind('int socketpair(int, int, int, void *)'),
    recvmsg: bind('intptr_t recvmsg(int, void *, int)'),
    fcntl: bind('int fcntl(int, int, long)'),
    close: bind('int close(int)'),
    eventfd: bind('int eventfd(unsigned int, int)'),
    ioctl: bind('int ioctl(int, unsigned long, void *)'),
    read(fd, bytes, length) {
      const result = rawRead(fd, bytes, length)
      return result < 0 ? -koffi.errno() : result
    },
    write(fd, bytes, length) {
      const result = rawWrite(fd, bytes, length)
      return result < 0 ? -koffi.errno() : result
    },
    poll(pollfds, count, timeoutMs) {
      const result = rawPoll(pollfds, count, timeoutMs)
      return result < 0 ? -koffi.errno() : result
    },
    pollAsync(pollfds, count, timeoutMs) {
      return new Promise((resolve, reject) => {
        rawPoll.async(pollfds, count, timeoutMs, (error: unknown, result: number) => {
          // errno belongs to the thread that made the call; the only likely one is a signal.
          if (error !== null && error !== undefined) reject(error instanceof Error ? error : new Error('poll failed'))
          else resolve(result < 0 ? -EINTR : result)
        })
      })
    },
    addressOf: (bytes) => koffi.address(bytes),
  }
}

/** Bytes of a path or word with the NUL that C wants. */
export function cString(text: Uint8Array | string): Buffer {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text
  const out = Buffer.allocUnsafeSlow(bytes.length + 1)
  out.set(bytes, 0)
  out[bytes.length] = 0
  return out
}

/** 'ENOENT' for 2 or -2. */
export function errnoName(errno: number): string {
  return nameOfErrno(errno)
}

/** The positive errno of an error thrown by `node:fs`; EIO (5) when it carries none. */
export function errnoOfSystemError(error: unknown): number {
  const errno = (error as { errno?: unknown } | null)?.errno
  return typeof errno === 'number' && errno < 0 ? -errno : 5
}

/** The error for a failed call; `result` is what the call returned. */
export function systemError(operation: string, result: number, path: string): SourceError {
  const code = errnoName(result)
  return new SourceError(`${operation} failed on ${path}: ${code}`, { operation, code, path, retryable: false })
}

/** Makes reads of `fd` return at once when nothing is there. */
export function setNonblocking(fd: number): void {
  const flags = libc().fcntl(fd, F_GETFL, 0)
  const result = flags < 0 ? flags : libc().fcntl(fd, F_SETFL, flags | O_NONBLOCK)
  if (result < 0) throw systemError('fcntl', result, `file descriptor ${fd}`)
}

/** A connected pair of stream sockets, closed on exec, not blocking. */
export function openSocketPair(): [number, number] {
  const fds = Buffer.allocUnsafeSlow(8)
  const result = libc().socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds)
  if (result < 0) throw systemError('socketpair', result, 'a pair of sockets')
  return [fds.readInt32LE(0), fds.readInt32LE(4)]
}

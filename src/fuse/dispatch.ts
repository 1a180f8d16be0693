import { performance } from 'node:perf_hooks'
import { viewOf } from '../bytes/le.js'
import { ERRNO } from '../errors/errno.js'
import { PendingRequest, type Exchange } from './exchange.js'
import { handleBatchForget, handleForget, handleGetattr, handleLookup, handleStatfs } from './handlers/attributes.js'
import { handleIgnored, handleInit, handleInterrupt, handleNothing } from './handlers/control.js'
import { handleReaddir, handleReaddirplus } from './handlers/directories.js'
import { handleLseek, handleOpen, handleOpendir, handleRead, handleRelease, handleReleasedir } from './handlers/files.js'
import { handleGetxattr, handleListxattr, handleReadlink } from './handlers/xattrs.js'
import { handleFallocate, handleFsync, handleSetattr, handleWrite } from './handlers/writes.js'
import * as op from './protocol/opcodes.js'
import { decodeRequest } from './protocol/request.js'

/**
 * Answers or begins to answer one request. What it needs of `view` and `bytes` (the request,
 * header included) it reads before it returns: the buffer is used again.
 */
type Handler = (x: Exchange, request: PendingRequest, view: DataView, bytes: Uint8Array) => void

/** Opcodes answered with a fixed errno. ENOSYS makes the kernel do without, for good. */
const FIXED: readonly (readonly [errno: number, opcodes: readonly string[]])[] = [
  [ERRNO.EROFS, [
    'SYMLINK', 'MKNOD', 'MKDIR', 'UNLINK', 'RMDIR', 'RENAME', 'LINK', 'SETXATTR', 'REMOVEXATTR', 'CREATE', 'RENAME2', 'COPY_FILE_RANGE', 'COPY_FILE_RANGE_64', 'TMPFILE',
  ]],
  [ERRNO.ENOSYS, [
    'FLUSH', 'FSYNCDIR', 'GETLK', 'SETLK', 'SETLKW', 'ACCESS', 'BMAP', 'POLL', 'SETUPMAPPING',
    'REMOVEMAPPING', 'STATX',
  ]],
  [ERRNO.ENOTTY, ['IOCTL']],
] // prettier-ignore

const HANDLERS: readonly (readonly [opcode: number, handler: Handler])[] = [
  [op.FUSE_LOOKUP, handleLookup],
  [op.FUSE_FORGET, handleForget],
  [op.FUSE_GETATTR, handleGetattr],
  [op.FUSE_SETATTR, handleSetattr],
  [op.FUSE_READLINK, handleReadlink],
  [op.FUSE_OPEN, handleOpen],
  [op.FUSE_READ, handleRead],
  [op.FUSE_WRITE, handleWrite],
  [op.FUSE_STATFS, handleStatfs],
  [op.FUSE_RELEASE, handleRelease],
  [op.FUSE_FSYNC, handleFsync],
  [op.FUSE_GETXATTR, handleGetxattr],
  [op.FUSE_LISTXATTR, handleListxattr],
  [op.FUSE_INIT, handleInit],
  [op.FUSE_OPENDIR, handleOpendir],
  [op.FUSE_READDIR, handleReaddir],
  [op.FUSE_RELEASEDIR, handleReleasedir],
  [op.FUSE_INTERRUPT, handleInterrupt],
  [op.FUSE_DESTROY, handleNothing],
  [op.FUSE_NOTIFY_REPLY, handleIgnored],
  [op.FUSE_BATCH_FORGET, handleBatchForget],
  [op.FUSE_FALLOCATE, handleFallocate],
  [op.FUSE_READDIRPLUS, handleReaddirplus],
  [op.FUSE_LSEEK, handleLseek],
  [op.FUSE_SYNCFS, handleNothing],
]

/** Handler of every opcode the table of opcodes knows. */
const table: (Handler | undefined)[] = Array.from({ length: op.OPCODE_LIMIT }, () => undefined)
for (const [opcode, handler] of HANDLERS) table[opcode] = handler
for (const [errno, names] of FIXED) {
  for (const { opcode, name } of op.OPCODES) {
    if (names.includes(name)) table[opcode] = (x, request) => x.refuse(request, errno)
  }
}

/** Turns requests into calls of the tree, and whatever happens there into one reply each. */
export class Dispatcher {
  readonly #x: Exchange
  #bytes: Uint8Array | undefined
  #view: DataView | undefined

  constructor(x: Exchange) {
    this.#x = x
  }

  /** Handles the request in `bytes[0, length)`; never throws. The bytes may be reused afterwards. */
  dispatch(bytes: Uint8Array, length: number): void {
    const x = this.#x
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#view = viewOf(bytes)
    }
    const view = this.#view!
    const request = new PendingRequest()
    const fault = decodeRequest(view, length, request)
    if (fault === 'no-header') {
      x.stats.malformed++
      x.log.error('the kernel sent less than a request', { bytes: length })
      return
    }
    request.arrivedMs = performance.now()
    try {
      if (fault === 'ok') {
        const handler = table[request.opcode]
        if (handler === undefined) x.refuse(request, ERRNO.ENOSYS)
        else handler(x, request, view, bytes)
      } else if (fault === 'unknown') {
        x.refuse(request, ERRNO.ENOSYS)
      } else {
        this.#refuseMalformed(request, fault)
      }
    } catch (error) {
      x.fail(request, error)
    }
  }

  #refuseMalformed(request: PendingRequest, fault: 'bad-length' | 'short-body'): void {
    const x = this.#x
    x.stats.malformed++
    x.log.error('malformed request', { op: op.opcodeName(request.opcode), bytes: request.length, fault })
    if (op.opcodeOf(request.opcode)?.noReply === true) x.finishSilently(request)
    else x.refuse(request, fault === 'bad-length' ? ERRNO.EIO : ERRNO.EINVAL)
  }
}

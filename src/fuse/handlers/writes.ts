import { ERRNO } from '../../errors/errno.js'
import type { Attr } from '../../tree/tree.js'
import { OUT, type Exchange, type PendingRequest } from '../exchange.js'
import { FUSE_ATTR_OUT_SIZE } from '../protocol/fuse-attr.js'
import * as w from '../protocol/write-request.js'

/** Changes that say nothing about the contents: programs that write set times. */
const HARMLESS =
  w.FATTR_ATIME | w.FATTR_MTIME | w.FATTR_ATIME_NOW | w.FATTR_MTIME_NOW | w.FATTR_CTIME | w.FATTR_FH | w.FATTR_LOCKOWNER

export function handleWrite(x: Exchange, request: PendingRequest, view: DataView, bytes: Uint8Array): void {
  const { writes } = x.tree
  if (writes === undefined) return x.refuse(request, ERRNO.EROFS)
  const offset = w.writeOffset(view)
  const data = w.writeData(view, bytes, request.length)
  if (data === undefined || offset < 0) return x.refuse(request, ERRNO.EINVAL)
  // The buffer is used again for the next request.
  const own = Buffer.from(data)
  const written = inside(x, request, offset, own.length).then((length) => writes.write(request.node, offset, own.subarray(0, length)).then(() => length))
  x.settle(request, written, encodeWritten)
}

function encodeWritten(x: Exchange, request: PendingRequest, length: number): void {
  if (length === 0) return x.refuse(request, ERRNO.ENOSPC)
  w.writeWriteOut(x.view, OUT, length)
  x.send(request, w.FUSE_WRITE_OUT_SIZE)
}

/** How much of a range lies inside the file, whose size never changes. */
async function inside(x: Exchange, { node }: PendingRequest, offset: number, length: number): Promise<number> {
  const { size } = await x.tree.getattr(node)
  return Math.max(0, Math.min(length, size - offset))
}

export function handleFallocate(x: Exchange, request: PendingRequest, view: DataView): void {
  const { writes } = x.tree
  if (writes === undefined) return x.refuse(request, ERRNO.EROFS)
  const [offset, length, mode] = [w.fallocateOffset(view), w.fallocateLength(view), w.fallocateMode(view)]
  if (offset < 0 || length < 0) return x.refuse(request, ERRNO.EINVAL)
  const work = mode & ~w.FALLOC_FL_KEEP_SIZE
  if (work !== 0 && work !== w.FALLOC_FL_PUNCH_HOLE && work !== w.FALLOC_FL_ZERO_RANGE) return x.refuse(request, ERRNO.EOPNOTSUPP)
  const done = inside(x, request, offset, length).then((within) => {
    // Room alone is there already, as far as there can be any.
    if (work === 0) return within === length
    return (within === 0 ? Promise.resolve() : writes.zero(request.node, offset, within)).then(() => true)
  })
  x.settle(request, done, (_x, _request, fits) => (fits ? void x.send(request, 0) : x.refuse(request, ERRNO.ENOSPC)))
}

/** Without anything to write to, the kernel does without from then on. */
export function handleFsync(x: Exchange, request: PendingRequest): void {
  const { writes } = x.tree
  if (writes === undefined) return x.refuse(request, ERRNO.ENOSYS)
  const flushed = Promise.resolve(writes.isWritable(request.node)).then((isWritable) => (isWritable ? writes.flush(request.node) : undefined))
  x.settle(request, flushed, () => x.send(request, 0))
}

/** A disk keeps its size, owner and mode. */
export function handleSetattr(x: Exchange, request: PendingRequest, view: DataView): void {
  const { writes } = x.tree
  if (writes === undefined) return x.refuse(request, ERRNO.EROFS)
  const valid = w.setattrValid(view)
  const size = (valid & w.FATTR_SIZE) === 0 ? undefined : w.setattrSize(view)
  if ((valid & ~(HARMLESS | w.FATTR_SIZE)) !== 0) return x.refuse(request, ERRNO.EPERM)
  const checked = Promise.all([x.tree.getattr(request.node), writes.isWritable(request.node)])
  x.settle(request, checked, (_x, _request, [attr, isWritable]: [Attr, boolean]) => {
    if (!isWritable) return x.refuse(request, ERRNO.EROFS)
    if (size !== undefined && size !== attr.size) return x.refuse(request, ERRNO.EPERM)
    x.bridge.writeAttrOut(x.view, OUT, attr)
    x.send(request, FUSE_ATTR_OUT_SIZE)
  })
}

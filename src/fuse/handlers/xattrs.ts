import { ERRNO } from '../../errors/errno.js'
import { OUT, type Exchange, type PendingRequest } from '../exchange.js'
import { FUSE_GETXATTR_OUT_SIZE, writeGetxattrOut } from '../protocol/reply.js'
import { BODY, FUSE_GETXATTR_IN_SIZE, readName, xattrRoom } from '../protocol/request.js'

/** Longest symbolic link target the kernel takes. */
const MAX_TARGET = 4095

export function handleReadlink(x: Exchange, request: PendingRequest): void {
  x.settle(request, x.tree.readlink(request.node), sendTarget)
}

function sendTarget(x: Exchange, request: PendingRequest, target: Uint8Array): void {
  // An empty target would resolve to the directory itself, one with a NUL would be cut.
  if (target.length === 0 || target.length > MAX_TARGET || target.includes(0)) {
    x.log.warn('symbolic link with an unusable target', { ino: request.nodeHi * 2 ** 32 + request.nodeLo, length: target.length })
    return x.refuse(request, ERRNO.EIO)
  }
  x.sendBytes(request, target)
}

export function handleGetxattr(x: Exchange, request: PendingRequest, view: DataView, bytes: Uint8Array): void {
  // The kernel then never asks again: `cp -a` of a file without attributes asks three times.
  if (x.tree.isPlain === true) return x.refuse(request, ERRNO.ENOSYS)
  const room = xattrRoom(view)
  const name = readName(bytes, BODY + FUSE_GETXATTR_IN_SIZE, request.length)
  if (name === undefined) return x.refuse(request, ERRNO.EINVAL)
  const value = x.tree.getxattr(request.node, name)
  if (!(value instanceof Promise)) return sendValue(x, request, value, room)
  x.settle(request, value, (_x, _request, ready) => sendValue(x, request, ready, room))
}

export function handleListxattr(x: Exchange, request: PendingRequest, view: DataView): void {
  if (x.tree.isPlain === true) return x.refuse(request, ERRNO.ENOSYS)
  const room = xattrRoom(view)
  const names = x.tree.listxattr(request.node)
  if (!(names instanceof Promise)) return sendValue(x, request, joinNames(names), room)
  x.settle(request, names, (_x, _request, ready) => sendValue(x, request, joinNames(ready), room))
}

/**
 * The value, its length when the caller has no room, ERANGE when it has too little. A value above
 * the 64 KiB a caller can have room for ends as E2BIG in the kernel.
 */
function sendValue(x: Exchange, request: PendingRequest, value: Uint8Array | undefined, room: number): void {
  if (value === undefined) return x.refuse(request, ERRNO.ENODATA)
  if (room === 0) {
    writeGetxattrOut(x.view, OUT, value.length)
    x.send(request, FUSE_GETXATTR_OUT_SIZE)
  } else if (value.length > room) {
    x.refuse(request, ERRNO.ERANGE)
  } else {
    x.sendBytes(request, value)
  }
}

/** The names with a NUL behind each. One that is empty or holds a NUL would spoil the whole list. */
function joinNames(names: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const name of names) if (isUsable(name)) length += name.length + 1
  const out = new Uint8Array(length)
  let at = 0
  for (const name of names) {
    if (!isUsable(name)) continue
    out.set(name, at)
    at += name.length + 1
  }
  return out
}

function isUsable(name: Uint8Array): boolean {
  return name.length > 0 && !name.includes(0)
}

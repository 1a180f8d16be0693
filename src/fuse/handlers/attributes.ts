import type { Attr, Entry } from '../../tree/tree.js'
import { ERRNO } from '../../errors/errno.js'
import { OUT, type Exchange, type PendingRequest } from '../exchange.js'
import { FUSE_ATTR_OUT_SIZE, FUSE_ENTRY_OUT, FUSE_ENTRY_OUT_SIZE, writeValidity } from '../protocol/fuse-attr.js'
import { FUSE_STATFS_OUT_SIZE, writeStatfsOut } from '../protocol/reply.js'
import {
  batchForgetCount, batchForgetLookups, batchForgetNodeHi, batchForgetNodeLo, BODY, forgetCount, readName,
} from '../protocol/request.js' // prettier-ignore

const BLOCK_SIZE = 4096
/** Longest name of the file systems these archives are made of. */
const NAME_MAX = 255

export function handleLookup(x: Exchange, request: PendingRequest, _view: DataView, bytes: Uint8Array): void {
  const name = readName(bytes, BODY, request.length)
  if (name === undefined) return x.refuse(request, ERRNO.EINVAL)
  x.settle(request, x.tree.lookup(request.node, name), encodeEntry)
}

function encodeEntry(x: Exchange, request: PendingRequest, entry: Entry | undefined): void {
  if (entry === undefined) {
    const seconds = x.tree.negativeTtl(request.node)
    if (seconds <= 0) return x.refuse(request, ERRNO.ENOENT)
    // Node 0 with a validity: the kernel remembers that there is no such name.
    x.out.fill(0, OUT, OUT + FUSE_ENTRY_OUT_SIZE)
    writeValidity(x.view, OUT + FUSE_ENTRY_OUT.entryValid, OUT + FUSE_ENTRY_OUT.entryValidNsec, seconds)
    x.send(request, FUSE_ENTRY_OUT_SIZE)
    return
  }
  x.bridge.writeEntryOut(x.view, OUT, entry)
  const { idHi, idLo } = entry
  if (x.send(request, FUSE_ENTRY_OUT_SIZE)) x.tree.remember(idHi, idLo, 1)
}

export function handleForget(x: Exchange, request: PendingRequest, view: DataView): void {
  x.tree.forget(request.nodeHi, request.nodeLo, forgetCount(view))
  x.finishSilently(request)
}

export function handleBatchForget(x: Exchange, request: PendingRequest, view: DataView): void {
  const count = batchForgetCount(view, request.length)
  for (let i = 0; i < count; i++) {
    x.tree.forget(batchForgetNodeHi(view, i), batchForgetNodeLo(view, i), batchForgetLookups(view, i))
  }
  x.finishSilently(request)
}

export function handleGetattr(x: Exchange, request: PendingRequest): void {
  x.settle(request, x.tree.getattr(request.node), encodeAttr)
}

function encodeAttr(x: Exchange, request: PendingRequest, attr: Attr): void {
  x.bridge.writeAttrOut(x.view, OUT, attr)
  x.send(request, FUSE_ATTR_OUT_SIZE)
}

export function handleStatfs(x: Exchange, request: PendingRequest): void {
  const { totalBytes, files } = x.tree.statfs()
  writeStatfsOut(x.view, OUT, Math.ceil(totalBytes / BLOCK_SIZE), files, BLOCK_SIZE, NAME_MAX)
  x.send(request, FUSE_STATFS_OUT_SIZE)
}

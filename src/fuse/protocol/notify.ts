import { viewOf, writeInt64 } from '../../bytes/le.js'
import { FUSE_OUT_HEADER_SIZE } from './reply.js'

/**
 * Notifications: messages to the kernel that answer nothing (unique 0, code in the place of the
 * error). INVAL and STORE wait for page and directory locks that an unanswered request may
 * hold, so they are written by a thread that answers none.
 */
const NOTIFY = { INVAL_INODE: 2, INVAL_ENTRY: 3, STORE: 4, DELETE: 6 } as const

const FUSE_NOTIFY_STORE_OUT_SIZE = 24

/** fuse_notify_inval_inode_out. `offset` < 0: attributes only; `length` <= 0: to the end of the file. */
export function packInvalInode(nodeHi: number, nodeLo: number, offset: number, length: number): Uint8Array {
  const bytes = notification(NOTIFY.INVAL_INODE, 24)
  const view = viewOf(bytes)
  writeNode(view, FUSE_OUT_HEADER_SIZE, nodeHi, nodeLo)
  writeInt64(view, FUSE_OUT_HEADER_SIZE + 8, offset)
  writeInt64(view, FUSE_OUT_HEADER_SIZE + 16, length)
  return bytes
}

/** fuse_notify_inval_entry_out and a name: the kernel looks the name up again when it is next used. */
export function packInvalEntry(parentHi: number, parentLo: number, name: Uint8Array, expireOnly = false): Uint8Array {
  const bytes = notification(NOTIFY.INVAL_ENTRY, 16 + name.length + 1)
  const view = viewOf(bytes)
  writeNode(view, FUSE_OUT_HEADER_SIZE, parentHi, parentLo)
  view.setUint32(FUSE_OUT_HEADER_SIZE + 8, name.length, true)
  view.setUint32(FUSE_OUT_HEADER_SIZE + 12, expireOnly ? 1 : 0, true)
  bytes.set(name, FUSE_OUT_HEADER_SIZE + 16)
  return bytes
}

/** fuse_notify_delete_out and a name: like INVAL_ENTRY, and watchers are told that it is gone. */
export function packDelete(parentHi: number, parentLo: number, childHi: number, childLo: number, name: Uint8Array): Uint8Array {
  const bytes = notification(NOTIFY.DELETE, 24 + name.length + 1)
  const view = viewOf(bytes)
  writeNode(view, FUSE_OUT_HEADER_SIZE, parentHi, parentLo)
  writeNode(view, FUSE_OUT_HEADER_SIZE + 8, childHi, childLo)
  view.setUint32(FUSE_OUT_HEADER_SIZE + 16, name.length, true)
  bytes.set(name, FUSE_OUT_HEADER_SIZE + 24)
  return bytes
}

/** Bytes `packStoreHead` writes; the data follows in the same write. */
export const STORE_HEAD_SIZE = FUSE_OUT_HEADER_SIZE + FUSE_NOTIFY_STORE_OUT_SIZE

/**
 * Header and fuse_notify_store_out for `size` bytes at `offset` of a file, into `view[at, ...)`.
 * Storing past the announced size of the file makes the kernel distrust that size: never do it.
 */
export function packStoreHead(view: DataView, at: number, nodeHi: number, nodeLo: number, offset: number, size: number): void {
  writeHeader(view, at, NOTIFY.STORE, STORE_HEAD_SIZE + size)
  writeNode(view, at + FUSE_OUT_HEADER_SIZE, nodeHi, nodeLo)
  writeInt64(view, at + FUSE_OUT_HEADER_SIZE + 8, offset)
  view.setUint32(at + FUSE_OUT_HEADER_SIZE + 16, size, true)
  view.setUint32(at + FUSE_OUT_HEADER_SIZE + 20, 0, true)
}

function notification(code: number, bodySize: number): Uint8Array {
  const bytes = new Uint8Array(FUSE_OUT_HEADER_SIZE + bodySize)
  writeHeader(viewOf(bytes), 0, code, bytes.length)
  return bytes
}

function writeHeader(view: DataView, at: number, code: number, length: number): void {
  view.setUint32(at, length, true)
  view.setInt32(at + 4, code, true)
  view.setUint32(at + 8, 0, true)
  view.setUint32(at + 12, 0, true)
}

function writeNode(view: DataView, at: number, hi: number, lo: number): void {
  view.setUint32(at, lo, true)
  view.setUint32(at + 4, hi, true)
}

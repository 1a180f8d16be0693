import { peekSize } from '../../bytes/le.js'
import { opcodeOf } from './opcodes.js'

/** fuse_in_header: in front of every request. */
export const FUSE_IN_HEADER_SIZE = 40
const IN_HEADER = { len: 0, opcode: 4, unique: 8, nodeid: 16, uid: 24, gid: 28, pid: 32 } as const

/** Where the body of a request starts. */
export const BODY = FUSE_IN_HEADER_SIZE

/**
 * What all requests have in common. `uniqueHi/Lo` is opaque and goes back unchanged; 64-bit
 * numbers the kernel chooses stay two u32.
 */
export class FuseRequest {
  opcode = 0
  uniqueHi = 0
  uniqueLo = 0
  nodeHi = 0
  nodeLo = 0
  uid = 0
  gid = 0
  /** Thread of the caller, 0 when there is none or it cannot be seen. */
  pid = 0
  /** Length of the whole request, header included. */
  length = 0
}

/** What `decodeRequest` found. Everything but ok and 'no-header' can be answered. */
export type RequestFault = 'ok' | 'no-header' | 'bad-length' | 'short-body' | 'unknown'

/**
 * Reads the header of the request in `view[0, length)` into `request` and checks that the body
 * holds at least what its opcode promises.
 */
export function decodeRequest(view: DataView, length: number, request: FuseRequest): RequestFault {
  if (length < FUSE_IN_HEADER_SIZE || view.byteLength < length) return 'no-header'
  request.opcode = view.getUint32(IN_HEADER.opcode, true)
  request.uniqueLo = view.getUint32(IN_HEADER.unique, true)
  request.uniqueHi = view.getUint32(IN_HEADER.unique + 4, true)
  request.nodeLo = view.getUint32(IN_HEADER.nodeid, true)
  request.nodeHi = view.getUint32(IN_HEADER.nodeid + 4, true)
  request.uid = view.getUint32(IN_HEADER.uid, true)
  request.gid = view.getUint32(IN_HEADER.gid, true)
  request.pid = view.getUint32(IN_HEADER.pid, true)
  request.length = length
  const opcode = opcodeOf(request.opcode)
  if (view.getUint32(IN_HEADER.len, true) !== length) return 'bad-length'
  if (opcode === undefined) return 'unknown'
  return length - FUSE_IN_HEADER_SIZE < opcode.minBody ? 'short-body' : 'ok'
}

/** fuse_read_in (READ, READDIR, READDIRPLUS); offsets from the start of the request. */
const READ_IN = { fh: BODY, offset: BODY + 8, size: BODY + 16, flags: BODY + 32 } as const

/** Position of a read, or of a listing (its cookie); -1 when it is above 2^53-1. */
export function readOffset(view: DataView): number {
  return peekSize(view, READ_IN.offset)
}

export function readSize(view: DataView): number {
  return view.getUint32(READ_IN.size, true)
}

/** fuse_lseek_in. */
const LSEEK_IN = { fh: BODY, offset: BODY + 8, whence: BODY + 16 } as const
export const SEEK_DATA = 3
export const SEEK_HOLE = 4

export function lseekOffset(view: DataView): number {
  return peekSize(view, LSEEK_IN.offset)
}

export function lseekWhence(view: DataView): number {
  return view.getUint32(LSEEK_IN.whence, true)
}

/** fuse_open_in: open(2) flags. */
export function openFlags(view: DataView): number {
  return view.getUint32(BODY, true)
}

/** fuse_release_in: the file handle; -1 when it is above 2^53-1, which none of ours is. */
export function releaseHandle(view: DataView): number {
  return peekSize(view, BODY)
}

/** fuse_getxattr_in: room the caller has, 0 when it asks for the length. The name follows. */
export const FUSE_GETXATTR_IN_SIZE = 8

export function xattrRoom(view: DataView): number {
  return view.getUint32(BODY, true)
}

/** fuse_interrupt_in: the request that need not be answered any more. */
export function interruptedLo(view: DataView): number {
  return view.getUint32(BODY, true)
}

export function interruptedHi(view: DataView): number {
  return view.getUint32(BODY + 4, true)
}

/** fuse_forget_in: references dropped, at most 2^53-1. */
export function forgetCount(view: DataView): number {
  return clampCount(peekSize(view, BODY))
}

/** fuse_batch_forget_in: how many fuse_forget_one follow and are really there. */
export const FUSE_FORGET_ONE_SIZE = 16
const BATCH_FORGET = { count: BODY, first: BODY + 8 } as const

export function batchForgetCount(view: DataView, length: number): number {
  const present = Math.floor((length - BATCH_FORGET.first) / FUSE_FORGET_ONE_SIZE)
  return Math.min(view.getUint32(BATCH_FORGET.count, true), present)
}

export function batchForgetNodeLo(view: DataView, i: number): number {
  return view.getUint32(BATCH_FORGET.first + i * FUSE_FORGET_ONE_SIZE, true)
}

export function batchForgetNodeHi(view: DataView, i: number): number {
  return view.getUint32(BATCH_FORGET.first + i * FUSE_FORGET_ONE_SIZE + 4, true)
}

export function batchForgetLookups(view: DataView, i: number): number {
  return clampCount(peekSize(view, BATCH_FORGET.first + i * FUSE_FORGET_ONE_SIZE + 8))
}

function clampCount(count: number): number {
  return count < 0 ? Number.MAX_SAFE_INTEGER : count
}

/**
 * A copy of the one name at the end of the body, which starts at `from`; without its NUL.
 * undefined when it is empty, not terminated, or has a NUL inside.
 */
export function readName(bytes: Uint8Array, from: number, length: number): Uint8Array | undefined {
  const end = length - 1
  if (end <= from || bytes.indexOf(0, from) !== end) return undefined
  // Not `slice`: on a Buffer that is a view of memory the next request overwrites.
  const name = new Uint8Array(end - from)
  for (let i = from; i < end; i++) name[i - from] = bytes[i]!
  return name
}

import { writeSizeBe } from '../../bytes/be.js'
import { viewOf } from '../../bytes/le.js'
import type { NbdRequest } from './request.js'

/** Errors of the protocol; there are no others. [Error values] */
export const NBD_EPERM = 1
export const NBD_EIO = 5
export const NBD_ENOMEM = 12
export const NBD_EINVAL = 22
export const NBD_ENOSPC = 28
export const NBD_EOVERFLOW = 75
export const NBD_ENOTSUP = 95
export const NBD_ESHUTDOWN = 108

/** magic (u32), error (u32), handle (u64); the data of a read follows. [Simple reply message] */
export const SIMPLE_REPLY_SIZE = 16
const SIMPLE_REPLY_MAGIC = 0x67446698
const SIMPLE_REPLY = { magic: 0, error: 4, handle: 8 } as const

export function encodeSimpleReply({ handleHi, handleLo }: NbdRequest, error: number): Buffer {
  const out = Buffer.allocUnsafe(SIMPLE_REPLY_SIZE)
  const view = viewOf(out)
  view.setUint32(SIMPLE_REPLY.magic, SIMPLE_REPLY_MAGIC)
  view.setUint32(SIMPLE_REPLY.error, error)
  view.setUint32(SIMPLE_REPLY.handle, handleHi)
  view.setUint32(SIMPLE_REPLY.handle + 4, handleLo)
  return out
}

/** magic (u32), flags (u16), type (u16), handle (u64), length (u32); the payload follows. [Structured reply chunk message] */
export const CHUNK_HEADER_SIZE = 20
const CHUNK_MAGIC = 0x668e33ef
const CHUNK = { magic: 0, flags: 4, type: 6, handle: 8, length: 16 } as const

/** The last chunk of a reply. [Structured reply flags] */
export const NBD_REPLY_FLAG_DONE = 1

/** [Structured reply types] */
export const NBD_REPLY_TYPE_NONE = 0
export const NBD_REPLY_TYPE_OFFSET_DATA = 1
export const NBD_REPLY_TYPE_OFFSET_HOLE = 2
export const NBD_REPLY_TYPE_BLOCK_STATUS = 5
export const NBD_REPLY_TYPE_ERROR = 0x8001
export const NBD_REPLY_TYPE_ERROR_OFFSET = 0x8002

/** Longest message in an error chunk, in bytes; a client stops at 4096. */
const MAX_MESSAGE = 1024

/** A chunk header with room for `inside` bytes of its payload of `length` bytes behind it. */
function chunk({ handleHi, handleLo }: NbdRequest, type: number, done: boolean, length: number, inside: number): { out: Buffer; view: DataView } {
  const out = Buffer.allocUnsafe(CHUNK_HEADER_SIZE + inside)
  const view = viewOf(out)
  view.setUint32(CHUNK.magic, CHUNK_MAGIC)
  view.setUint16(CHUNK.flags, done ? NBD_REPLY_FLAG_DONE : 0)
  view.setUint16(CHUNK.type, type)
  view.setUint32(CHUNK.handle, handleHi)
  view.setUint32(CHUNK.handle + 4, handleLo)
  view.setUint32(CHUNK.length, length)
  return { out, view }
}

/** The end of a reply that has nothing more to say. */
export function encodeNone(request: NbdRequest): Buffer {
  return chunk(request, NBD_REPLY_TYPE_NONE, true, 0, 0).out
}

/** What stands in front of `length` bytes of data: chunk header, offset (u64). [NBD_REPLY_TYPE_OFFSET_DATA] */
export function encodeDataHeader(request: NbdRequest, done: boolean, offset: number, length: number): Buffer {
  const { out, view } = chunk(request, NBD_REPLY_TYPE_OFFSET_DATA, done, 8 + length, 8)
  writeSizeBe(view, CHUNK_HEADER_SIZE, offset)
  return out
}

/** Zeros: offset (u64), length (u32). [NBD_REPLY_TYPE_OFFSET_HOLE] */
export function encodeHole(request: NbdRequest, done: boolean, offset: number, length: number): Buffer {
  const { out, view } = chunk(request, NBD_REPLY_TYPE_OFFSET_HOLE, done, 12, 12)
  writeSizeBe(view, CHUNK_HEADER_SIZE, offset)
  view.setUint32(CHUNK_HEADER_SIZE + 8, length)
  return out
}

/** Context id (u32), then length (u32) and status (u32) of each extent. [NBD_REPLY_TYPE_BLOCK_STATUS] */
export function encodeBlockStatus(request: NbdRequest, done: boolean, context: number, extents: readonly number[]): Buffer {
  const length = 4 + extents.length * 4
  const { out, view } = chunk(request, NBD_REPLY_TYPE_BLOCK_STATUS, done, length, length)
  view.setUint32(CHUNK_HEADER_SIZE, context)
  extents.forEach((value, i) => view.setUint32(CHUNK_HEADER_SIZE + 4 + 4 * i, value))
  return out
}

/**
 * Error (u32), length of message (u16), message, and with `offset` where it happened (u64).
 * [NBD_REPLY_TYPE_ERROR, NBD_REPLY_TYPE_ERROR_OFFSET]
 */
export function encodeErrorChunk(request: NbdRequest, done: boolean, error: number, message: string, offset?: number): Buffer {
  const text = clip(message)
  const length = 6 + text.length + (offset === undefined ? 0 : 8)
  const type = offset === undefined ? NBD_REPLY_TYPE_ERROR : NBD_REPLY_TYPE_ERROR_OFFSET
  const { out, view } = chunk(request, type, done, length, length)
  view.setUint32(CHUNK_HEADER_SIZE, error)
  view.setUint16(CHUNK_HEADER_SIZE + 4, text.length)
  out.set(text, CHUNK_HEADER_SIZE + 6)
  if (offset !== undefined) writeSizeBe(view, CHUNK_HEADER_SIZE + 6 + text.length, offset)
  return out
}

/** Cut between characters. */
function clip(message: string): Buffer {
  const bytes = Buffer.from(message)
  if (bytes.length <= MAX_MESSAGE) return bytes
  let end = MAX_MESSAGE
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--
  return bytes.subarray(0, end)
}

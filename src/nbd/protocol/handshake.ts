import { writeSizeBe } from '../../bytes/be.js'
import { viewOf } from '../../bytes/le.js'

/*
 * The handshake, "fixed newstyle". All numbers are big-endian. Source of this and of all files beside it:
 * the NBD protocol, https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md; section names in brackets.
 */

/** "NBDMAGIC". [Newstyle negotiation] */
const INIT_PASSWD = [0x4e42444d, 0x41474943] as const
/** "IHAVEOPT". [Newstyle negotiation] */
const OPTS_MAGIC = [0x49484156, 0x454f5054] as const

/** What a server sends first: two magic numbers, handshake flags (u16). [Newstyle negotiation] */
export const GREETING_SIZE = 18
const GREETING = { password: 0, magic: 8, flags: 16 } as const

/** Handshake flags. [Handshake flags] */
export const NBD_FLAG_FIXED_NEWSTYLE = 1
export const NBD_FLAG_NO_ZEROES = 2

/** Flags of the client (u32), its answer to the greeting. [Client flags] */
export const CLIENT_FLAGS_SIZE = 4
export const NBD_FLAG_C_FIXED_NEWSTYLE = 1
export const NBD_FLAG_C_NO_ZEROES = 2

export function encodeGreeting(): Buffer {
  const out = Buffer.alloc(GREETING_SIZE)
  const view = viewOf(out)
  writePair(view, GREETING.password, INIT_PASSWD)
  writePair(view, GREETING.magic, OPTS_MAGIC)
  view.setUint16(GREETING.flags, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)
  return out
}

/** undefined: flags that were not offered; such a client has to be dropped. [Client flags] */
export function decodeClientFlags(bytes: Uint8Array): { readonly fixed: boolean; readonly noZeroes: boolean } | undefined {
  const flags = viewOf(bytes).getUint32(0)
  if ((flags & ~(NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES)) !== 0) return undefined
  return { fixed: (flags & NBD_FLAG_C_FIXED_NEWSTYLE) !== 0, noZeroes: (flags & NBD_FLAG_C_NO_ZEROES) !== 0 }
}

/** In front of the data of every option: magic, option (u32), length (u32). [Newstyle negotiation] */
export const OPTION_HEADER_SIZE = 16
const OPTION = { magic: 0, option: 8, length: 12 } as const

/** undefined: not an option; what follows cannot be understood. */
export function decodeOptionHeader(bytes: Uint8Array): { readonly option: number; readonly length: number } | undefined {
  const view = viewOf(bytes)
  if (view.getUint32(OPTION.magic) !== OPTS_MAGIC[0] || view.getUint32(OPTION.magic + 4) !== OPTS_MAGIC[1]) return undefined
  return { option: view.getUint32(OPTION.option), length: view.getUint32(OPTION.length) }
}

/** In front of the data of every reply to an option: magic, option, reply type (u32), length (u32). [Fixed newstyle negotiation] */
export const OPTION_REPLY_SIZE = 20
const OPTION_REPLY_MAGIC = [0x0003e889, 0x045565a9] as const
const OPTION_REPLY = { magic: 0, option: 8, type: 12, length: 16 } as const

export function encodeOptionReply(option: number, type: number, data: Uint8Array = new Uint8Array(0)): Buffer {
  const out = Buffer.alloc(OPTION_REPLY_SIZE + data.length)
  const view = viewOf(out)
  writePair(view, OPTION_REPLY.magic, OPTION_REPLY_MAGIC)
  view.setUint32(OPTION_REPLY.option, option)
  view.setUint32(OPTION_REPLY.type, type)
  view.setUint32(OPTION_REPLY.length, data.length)
  out.set(data, OPTION_REPLY_SIZE)
  return out
}

/** The answer to NBD_OPT_EXPORT_NAME: size (u64), transmission flags (u16), reserved zeros. [Newstyle negotiation] */
const EXPORT_REPLY = { size: 0, flags: 8, zeros: 10 } as const
const EXPORT_REPLY_ZEROS = 124

export function encodeExportReply(size: number, flags: number, noZeroes: boolean): Buffer {
  const out = Buffer.alloc(EXPORT_REPLY.zeros + (noZeroes ? 0 : EXPORT_REPLY_ZEROS))
  const view = viewOf(out)
  writeSizeBe(view, EXPORT_REPLY.size, size)
  view.setUint16(EXPORT_REPLY.flags, flags)
  return out
}

/** Transmission flags. [Transmission flags] */
export const NBD_FLAG_HAS_FLAGS = 1
export const NBD_FLAG_READ_ONLY = 2
export const NBD_FLAG_SEND_FLUSH = 4
export const NBD_FLAG_SEND_FUA = 8
export const NBD_FLAG_SEND_TRIM = 32
export const NBD_FLAG_SEND_WRITE_ZEROES = 64
export const NBD_FLAG_SEND_DF = 128
export const NBD_FLAG_CAN_MULTI_CONN = 256
export const NBD_FLAG_SEND_CACHE = 1024

function writePair(view: DataView, at: number, [first, second]: readonly [number, number]): void {
  view.setUint32(at, first)
  view.setUint32(at + 4, second)
}

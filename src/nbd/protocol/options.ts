import { writeSizeBe } from '../../bytes/be.js'
import { viewOf } from '../../bytes/le.js'

/** Options of a client. [Option types] */
export const NBD_OPT_EXPORT_NAME = 1
export const NBD_OPT_ABORT = 2
export const NBD_OPT_LIST = 3
export const NBD_OPT_STARTTLS = 5
export const NBD_OPT_INFO = 6
export const NBD_OPT_GO = 7
export const NBD_OPT_STRUCTURED_REPLY = 8
export const NBD_OPT_LIST_META_CONTEXT = 9
export const NBD_OPT_SET_META_CONTEXT = 10

/** Types of replies to options; errors have the highest bit set. [Option reply types] */
export const NBD_REP_ACK = 1
export const NBD_REP_SERVER = 2
export const NBD_REP_INFO = 3
export const NBD_REP_META_CONTEXT = 4
export const NBD_REP_ERR_UNSUP = 0x8000_0001
export const NBD_REP_ERR_POLICY = 0x8000_0002
export const NBD_REP_ERR_INVALID = 0x8000_0003
export const NBD_REP_ERR_PLATFORM = 0x8000_0004
export const NBD_REP_ERR_TLS_REQD = 0x8000_0005
export const NBD_REP_ERR_UNKNOWN = 0x8000_0006
export const NBD_REP_ERR_SHUTDOWN = 0x8000_0007
export const NBD_REP_ERR_TOO_BIG = 0x8000_0009

/** Information about an export. [NBD_REP_INFO] */
export const NBD_INFO_EXPORT = 0
export const NBD_INFO_NAME = 1
export const NBD_INFO_DESCRIPTION = 2
export const NBD_INFO_BLOCK_SIZE = 3

/** Longest string of the protocol in bytes. [Conventions] */
export const MAX_STRING = 4096

/** Queries in one option that are looked at; more are refused as too big. */
const MAX_QUERIES = 256

const MAX_U32 = 0xffff_ffff

/** What NBD_OPT_INFO and NBD_OPT_GO ask for: length of name (u32), name, count (u16), information types (u16). [NBD_OPT_INFO] */
export interface InfoRequest {
  readonly name: string
  readonly wanted: ReadonlySet<number>
}

/** undefined: the data does not have that form. */
export function decodeInfoRequest(data: Uint8Array): InfoRequest | undefined {
  const strings = new StringReader(data)
  const name = strings.string()
  if (name === undefined || strings.left < 2) return undefined
  const view = viewOf(data)
  const count = view.getUint16(strings.at)
  if (strings.left !== 2 + 2 * count) return undefined
  const wanted = new Set<number>()
  for (let i = 0; i < count; i++) wanted.add(view.getUint16(strings.at + 2 + 2 * i))
  return { name, wanted }
}

/**
 * What the two options of metadata contexts ask for: length of name (u32), name, count (u32), then length (u32) and
 * text of each query. [NBD_OPT_LIST_META_CONTEXT]
 */
export interface MetaRequest {
  readonly name: string
  readonly queries: readonly string[]
}

/** undefined: the data does not have that form. `too-big`: it has, and too many queries. */
export function decodeMetaRequest(data: Uint8Array): MetaRequest | 'too-big' | undefined {
  const strings = new StringReader(data)
  const name = strings.string()
  const count = strings.u32()
  if (name === undefined || count === undefined || count * 4 > strings.left) return undefined
  if (count > MAX_QUERIES) return 'too-big'
  const queries: string[] = []
  for (let i = 0; i < count; i++) {
    const query = strings.string()
    if (query === undefined) return undefined
    queries.push(query)
  }
  return strings.left === 0 ? { name, queries } : undefined
}

/** A whole option that is one string, as of NBD_OPT_EXPORT_NAME. undefined: no string of the protocol. */
export function decodeString(data: Uint8Array): string | undefined {
  if (data.length > MAX_STRING || data.includes(0)) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data)
  } catch {
    return undefined
  }
}

/** Data of NBD_REP_SERVER: length of name (u32), name, description. [NBD_REP_SERVER] */
export function encodeServer(name: string, description: string): Buffer {
  const bytes = Buffer.from(name)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes, Buffer.from(description)])
}

/** Data of NBD_REP_INFO for NBD_INFO_EXPORT: type (u16), size (u64), transmission flags (u16). [NBD_REP_INFO] */
const INFO_EXPORT = { type: 0, size: 2, flags: 10, end: 12 } as const

export function encodeInfoExport(size: number, flags: number): Buffer {
  const out = Buffer.alloc(INFO_EXPORT.end)
  const view = viewOf(out)
  view.setUint16(INFO_EXPORT.type, NBD_INFO_EXPORT)
  writeSizeBe(view, INFO_EXPORT.size, size)
  view.setUint16(INFO_EXPORT.flags, flags)
  return out
}

/** The same for NBD_INFO_NAME and NBD_INFO_DESCRIPTION: type (u16), text. */
export function encodeInfoText(type: number, text: string): Buffer {
  const head = Buffer.alloc(2)
  head.writeUInt16BE(type)
  return Buffer.concat([head, Buffer.from(text)])
}

/** The same for NBD_INFO_BLOCK_SIZE: type (u16), minimum, preferred, maximum (u32). */
const INFO_BLOCK_SIZE = { type: 0, minimum: 2, preferred: 6, maximum: 10, end: 14 } as const

export function encodeInfoBlockSize(minimum: number, preferred: number, maximum: number): Buffer {
  const out = Buffer.alloc(INFO_BLOCK_SIZE.end)
  out.writeUInt16BE(NBD_INFO_BLOCK_SIZE, INFO_BLOCK_SIZE.type)
  out.writeUInt32BE(minimum, INFO_BLOCK_SIZE.minimum)
  out.writeUInt32BE(preferred, INFO_BLOCK_SIZE.preferred)
  out.writeUInt32BE(Math.min(maximum, MAX_U32), INFO_BLOCK_SIZE.maximum)
  return out
}

/** Data of NBD_REP_META_CONTEXT: context id (u32), name. [NBD_REP_META_CONTEXT] */
export function encodeMetaContext(id: number, name: string): Buffer {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(id)
  return Buffer.concat([head, Buffer.from(name)])
}

/** Takes strings with their length (u32) in front off the data of an option. */
class StringReader {
  at = 0
  readonly #data: Uint8Array
  readonly #view: DataView

  constructor(data: Uint8Array) {
    this.#data = data
    this.#view = viewOf(data)
  }

  get left(): number {
    return this.#data.length - this.at
  }

  u32(): number | undefined {
    if (this.left < 4) return undefined
    this.at += 4
    return this.#view.getUint32(this.at - 4)
  }

  string(): string | undefined {
    const length = this.u32()
    if (length === undefined || length > this.left) return undefined
    this.at += length
    return decodeString(this.#data.subarray(this.at - length, this.at))
  }
}

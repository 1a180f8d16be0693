import { peekSizeBe } from '../../bytes/be.js'
import { viewOf } from '../../bytes/le.js'

/** In front of every request of the transmission phase. [Request message] */
export const REQUEST_SIZE = 28
const REQUEST_MAGIC = 0x25609513
const REQUEST = { magic: 0, flags: 4, type: 6, handle: 8, offset: 16, length: 24 } as const

/** [Request types] */
export const NBD_CMD_READ = 0
export const NBD_CMD_WRITE = 1
export const NBD_CMD_DISC = 2
export const NBD_CMD_FLUSH = 3
export const NBD_CMD_TRIM = 4
export const NBD_CMD_CACHE = 5
export const NBD_CMD_WRITE_ZEROES = 6
export const NBD_CMD_BLOCK_STATUS = 7

const NAMES = ['READ', 'WRITE', 'DISC', 'FLUSH', 'TRIM', 'CACHE', 'WRITE_ZEROES', 'BLOCK_STATUS'] as const

/** [Command flags] */
export const NBD_CMD_FLAG_FUA = 1
export const NBD_CMD_FLAG_NO_HOLE = 2
export const NBD_CMD_FLAG_DF = 4
export const NBD_CMD_FLAG_REQ_ONE = 8
export const NBD_CMD_FLAG_FAST_ZERO = 16

/** A request. The handle is opaque, two u32, and goes back unchanged. */
export interface NbdRequest {
  readonly type: number
  readonly flags: number
  readonly handleHi: number
  readonly handleLo: number
  /** -1: above 2^53-1, which is past any end. */
  readonly offset: number
  readonly length: number
}

/** undefined: not a request; what follows cannot be understood. */
export function decodeRequest(bytes: Uint8Array): NbdRequest | undefined {
  const view = viewOf(bytes)
  if (view.getUint32(REQUEST.magic) !== REQUEST_MAGIC) return undefined
  return {
    flags: view.getUint16(REQUEST.flags),
    type: view.getUint16(REQUEST.type),
    handleHi: view.getUint32(REQUEST.handle),
    handleLo: view.getUint32(REQUEST.handle + 4),
    offset: peekSizeBe(view, REQUEST.offset),
    length: view.getUint32(REQUEST.length),
  }
}

export function commandName(type: number): string {
  return NAMES[type] ?? `command ${type}`
}

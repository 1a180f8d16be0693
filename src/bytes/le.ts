import { FormatError } from '../errors/errors.js'

const TWO_32 = 2 ** 32

/** u64 at `at` as a number; above 2^53-1 a FormatError that names stream and absolute offset. */
export function readSize(view: DataView, at: number, stream: string, base = 0): number {
  const lo = view.getUint32(at, true)
  const hi = view.getUint32(at + 4, true)
  if (hi > 0x1f_ffff) {
    throw new FormatError(`${stream}: number too large at offset ${base + at}`, {
      stream,
      offset: base + at,
      expected: 'at most 2^53-1',
      actual: (BigInt(hi) * BigInt(TWO_32) + BigInt(lo)).toString(),
    })
  }
  return hi * TWO_32 + lo
}

/** u64 at `at` as a number, or -1 when it is above 2^53-1. */
export function peekSize(view: DataView, at: number): number {
  const hi = view.getUint32(at + 4, true)
  return hi > 0x1f_ffff ? -1 : hi * TWO_32 + view.getUint32(at, true)
}

/** Writes an integer in -2^53..2^53 as a 64-bit two's complement, little-endian. */
export function writeInt64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true)
  view.setUint32(at + 4, Math.floor(value / TWO_32) >>> 0, true)
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

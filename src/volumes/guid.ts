import { hex } from '../bytes/names.js'

/** A GUID as Microsoft and UEFI store it: the first three fields little-endian. Upper case. */
export function readGuid(bytes: Uint8Array, at: number): string {
  const b = bytes.subarray(at, at + 16)
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
  return dashed(hex(Uint8Array.from(order, (i) => b[i] ?? 0))).toUpperCase()
}

/** A UUID in the order of its text; undefined when it is all zeros. Lower case. */
export function readUuid(bytes: Uint8Array, at: number): string | undefined {
  const b = bytes.subarray(at, at + 16)
  return b.length < 16 || b.every((byte) => byte === 0) ? undefined : dashed(hex(b))
}

function dashed(digits: string): string {
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)].join('-')
}

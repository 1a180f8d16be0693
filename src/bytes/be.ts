const TWO_32 = 2 ** 32

/** Big-endian u64 at `at` as a number, or -1 when it is above 2^53-1. */
export function peekSizeBe(view: DataView, at: number): number {
  const hi = view.getUint32(at)
  return hi > 0x1f_ffff ? -1 : hi * TWO_32 + view.getUint32(at + 4)
}

/** Writes an integer in 0..2^53-1 as a big-endian u64. */
export function writeSizeBe(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / TWO_32))
  view.setUint32(at + 4, value >>> 0)
}

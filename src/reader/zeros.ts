/** A block of zeros that stands for the contents of holes; never written to. */
export const zeroView: Uint8Array = new Uint8Array(256 * 1024)

/** Views that together are `length` zero bytes. */
export function zeroViews(length: number): Uint8Array[] {
  const views: Uint8Array[] = []
  for (let left = length; left > 0; left -= zeroView.length) views.push(zeroView.subarray(0, Math.min(left, zeroView.length)))
  return views
}

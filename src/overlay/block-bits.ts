/** The first block of `[block, end)` whose bit is set, or is not; `end` when there is none. Bit i of byte j is block 8j+i. */
export function nextBlock(bits: Uint8Array, block: number, end: number, isSet: boolean): number {
  const skip = isSet ? 0 : 0xff
  for (let at = block; at < end; ) {
    if ((at & 7) === 0 && bits[at >> 3] === skip) at += 8
    else if (hasBit(bits, at) === isSet) return at
    else at++
  }
  return end
}

export function hasBit(bits: Uint8Array, block: number): boolean {
  return (bits[block >> 3]! & (1 << (block & 7))) !== 0
}

export function setBits(bits: Uint8Array, from: number, to: number): void {
  for (let block = from; block < to; block++) bits[block >> 3]! |= 1 << (block & 7)
}

export function clearBits(bits: Uint8Array, from: number, to: number): void {
  for (let block = from; block < to; block++) bits[block >> 3]! &= ~(1 << (block & 7))
}

/** `00 02`, at least eight bytes that are not zero, `00`. */
const MIN_PADDING = 11

/**
 * Takes the padding of PKCS#1 v1.5 (type 2) off a decrypted block; undefined: there is none, the
 * block was made for another key. Looks at every byte whatever it finds, so that the time does not
 * tell where a padding went wrong. The result owns its memory.
 */
export function removePadding(block: Uint8Array): Uint8Array | undefined {
  let bad = block.length < MIN_PADDING ? 1 : 0
  bad |= (block[0] ?? 1) | ((block[1] ?? 0) ^ 2)
  let found = 0
  let start = 0
  for (let i = 2; i < block.length; i++) {
    const zero = isZero(block[i]!)
    start |= (zero & ~found & 1) * (i + 1)
    found |= zero
  }
  bad |= (found ^ 1) | (start < MIN_PADDING ? 1 : 0)
  return bad === 0 ? new Uint8Array(block.subarray(start)) : undefined
}

/** 1 for 0, else 0, without a branch. */
function isZero(byte: number): number {
  return ((byte - 1) >>> 31) & 1
}

/**
 * SipHash-2-4 with the fixed keys of pxar (k0 83ac3f1cfbb450db, k1 aa4f1b6879369fbd): the hash of
 * a name in a goodbye table. 64-bit words are pairs of int32, since this runs for every entry.
 */

/** The four state words before the first block: SipHash's constants xored with the keys. */
const V0_HI = 0xf0c35279 | 0
const V0_LO = 0x8bc735ae | 0
const V1_HI = 0xce206909 | 0
const V1_LO = 0x1752f0d0 | 0
const V2_HI = 0xefd55879 | 0
const V2_LO = 0x95d122ba | 0
const V3_HI = 0xde2a7f0a | 0
const V3_LO = 0x0042face | 0

/** Writes the hash of `bytes[start, end)` to `out`: [0] the low half, [1] the high half. */
export function hashName(bytes: Uint8Array, start: number, end: number, out: Int32Array): void {
  let v0h = V0_HI
  let v0l = V0_LO
  let v1h = V1_HI
  let v1l = V1_LO
  let v2h = V2_HI
  let v2l = V2_LO
  let v3h = V3_HI
  let v3l = V3_LO
  let h = 0
  let l = 0
  const length = end - start
  const blocks = length >>> 3
  // One pass more than there are blocks: that one is the finish (four rounds, no input).
  for (let block = 0; block <= blocks + 1; block++) {
    let mh = 0
    let ml = 0
    let rounds = 2
    if (block < blocks) {
      const at = start + block * 8
      ml = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
      mh = bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24)
    } else if (block === blocks) {
      const at = start + block * 8
      for (let i = 0; at + i < end; i++) {
        if (i < 4) ml |= bytes[at + i]! << (i * 8)
        else mh |= bytes[at + i]! << ((i - 4) * 8)
      }
      mh |= length << 24
    } else {
      v2l ^= 0xff
      rounds = 4
    }
    v3h ^= mh
    v3l ^= ml
    for (; rounds > 0; rounds--) {
      // v0 += v1; v1 = rotl(v1, 13) ^ v0; v0 = rotl(v0, 32)
      l = (v0l + v1l) | 0
      h = (v0h + v1h + (l >>> 0 < v0l >>> 0 ? 1 : 0)) | 0
      v0l = l
      v0h = h
      h = (v1h << 13) | (v1l >>> 19)
      l = (v1l << 13) | (v1h >>> 19)
      v1h = h ^ v0h
      v1l = l ^ v0l
      h = v0h
      v0h = v0l
      v0l = h
      // v2 += v3; v3 = rotl(v3, 16) ^ v2
      l = (v2l + v3l) | 0
      h = (v2h + v3h + (l >>> 0 < v2l >>> 0 ? 1 : 0)) | 0
      v2l = l
      v2h = h
      h = (v3h << 16) | (v3l >>> 16)
      l = (v3l << 16) | (v3h >>> 16)
      v3h = h ^ v2h
      v3l = l ^ v2l
      // v0 += v3; v3 = rotl(v3, 21) ^ v0
      l = (v0l + v3l) | 0
      h = (v0h + v3h + (l >>> 0 < v0l >>> 0 ? 1 : 0)) | 0
      v0l = l
      v0h = h
      h = (v3h << 21) | (v3l >>> 11)
      l = (v3l << 21) | (v3h >>> 11)
      v3h = h ^ v0h
      v3l = l ^ v0l
      // v2 += v1; v1 = rotl(v1, 17) ^ v2; v2 = rotl(v2, 32)
      l = (v2l + v1l) | 0
      h = (v2h + v1h + (l >>> 0 < v2l >>> 0 ? 1 : 0)) | 0
      v2l = l
      v2h = h
      h = (v1h << 17) | (v1l >>> 15)
      l = (v1l << 17) | (v1h >>> 15)
      v1h = h ^ v2h
      v1l = l ^ v2l
      h = v2h
      v2h = v2l
      v2l = h
    }
    v0h ^= mh
    v0l ^= ml
  }
  out[0] = v0l ^ v1l ^ v2l ^ v3l
  out[1] = v0h ^ v1h ^ v2h ^ v3h
}

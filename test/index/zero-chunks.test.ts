import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { parseFixedIndex } from '#src/index/fixed-index.js'
import { parseIndex } from '#src/index/parse-index.js'
import { hashZeros, mapZeros, ZeroChunks } from '#src/index/zero-chunks.js'
import { encodeDynamicIndex, encodeFixedIndex, testKey } from '../support/datastore-writer.js'

const MiB = 1024 * 1024
const plain = new ZeroChunks()

describe('zero chunks', () => {
  it('knows every size of the table, computed here', () => {
    for (let size = 65536; size <= 16 * MiB; size *= 2) {
      const zero = createHash('sha256').update(Buffer.alloc(size)).digest()
      expect(hashZeros(size)).toEqual(zero)
      const index = parseIndex(encodeDynamicIndex([{ end: size, digest: zero }, { end: size + 100, digest: zero }]), 'x')
      expect([plain.has(index, 0), plain.has(index, 1)]).toEqual([true, false])
    }
  })

  it('the digest of another length, another digest, or one of zero bytes is no hole', () => {
    const four = hashZeros(4 * MiB)
    const list = [four, hashZeros(2 * MiB), Buffer.alloc(32), four]
    const index = parseIndex(encodeFixedIndex(3 * 4 * MiB + 5, list), 'x')
    expect([0, 1, 2, 3].map((i) => plain.has(index, i))).toEqual([true, false, false, false])
  })

  it('depends on the key of an encrypted archive', () => {
    const zeros = new ZeroChunks(testKey.idKey)
    const keyed = Buffer.from('348571e12bbbedb529def1f1394316e338a01945d871df9ef792617ceb13d636', 'hex')
    const index = parseIndex(encodeFixedIndex(2 * 4 * MiB, [keyed, hashZeros(4 * MiB)]), 'x')
    expect([0, 1].map((i) => zeros.has(index, i))).toEqual([true, false])
    expect([0, 1].map((i) => plain.has(index, i))).toEqual([false, true])
    expect(hashZeros(3 * MiB + 7, testKey.idKey)).toEqual(
      createHash('sha256').update(Buffer.alloc(3 * MiB + 7)).update(testKey.idKey).digest(),
    )
  })

  it('an index in memory is mapped by length and digest', () => {
    const zeros = new ZeroChunks()
    const zero = zeros.digestOf(65536)!
    const index = parseFixedIndex(encodeFixedIndex(3 * 65536 + 1, [zero, Buffer.alloc(32, 7), zero, zero], { chunkSize: 65536 }), 'x.fidx')
    const map = mapZeros(index, zeros)
    // The last chunk is shorter: its digest cannot be that of a whole one.
    expect([0, 1, 2, 3].map((i) => map.has(i))).toEqual([true, false, true, false])
    expect(mapZeros(index, undefined).next(0, true)).toBe(4)
  })
})

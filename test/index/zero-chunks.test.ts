import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { parseIndex } from '#src/index/parse-index.js'
import { hashZeros, isZeroChunk, ZeroChunks } from '#src/index/zero-chunks.js'
import { encodeDynamicIndex, encodeFixedIndex, testKey } from '../support/datastore-writer.js'

const MiB = 1024 * 1024

describe('zero chunks', () => {
  it('knows every size of the table, computed here', () => {
    for (let size = 65536; size <= 16 * MiB; size *= 2) {
      const zero = createHash('sha256').update(Buffer.alloc(size)).digest()
      expect(hashZeros(size)).toEqual(zero)
      const index = parseIndex(encodeDynamicIndex([{ end: size, digest: zero }, { end: size + 100, digest: zero }]), 'x')
      expect([isZeroChunk(index, 0), isZeroChunk(index, 1)]).toEqual([true, false])
    }
  })

  it('the digest of another length, another digest, or one of zero bytes is no hole', () => {
    const four = hashZeros(4 * MiB)
    const list = [four, hashZeros(2 * MiB), Buffer.alloc(32), four]
    const index = parseIndex(encodeFixedIndex(3 * 4 * MiB + 5, list), 'x')
    expect([0, 1, 2, 3].map((i) => isZeroChunk(index, i))).toEqual([true, false, false, false])
  })

  it('depends on the key of an encrypted archive', () => {
    const zeros = new ZeroChunks(testKey.idKey)
    const keyed = Buffer.from('348571e12bbbedb529def1f1394316e338a01945d871df9ef792617ceb13d636', 'hex')
    const index = parseIndex(encodeFixedIndex(2 * 4 * MiB, [keyed, hashZeros(4 * MiB)]), 'x')
    expect([0, 1].map((i) => zeros.has(index, i))).toEqual([true, false])
    expect([0, 1].map((i) => isZeroChunk(index, i))).toEqual([false, true])
    expect(hashZeros(3 * MiB + 7, testKey.idKey)).toEqual(
      createHash('sha256').update(Buffer.alloc(3 * MiB + 7)).update(testKey.idKey).digest(),
    )
  })
})

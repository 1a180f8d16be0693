import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { FixedIndex } from '#src/index/fixed-index.js'
import { parseFixedIndex } from '#src/index/fixed-index.js'
import { openPagedFixedIndex } from '#src/index/paged-fixed-index.js'
import { ZeroChunks } from '#src/index/zero-chunks.js'
import { encodeFixedIndex } from '../support/datastore-writer.js'

const CHUNK = 65536
const zeros = new ZeroChunks()
const digests = (length: number) => [zeros.digestOf(length) ?? []].flat()

/** An index of `count` chunks, every `nth` of them zeros, the last one short. */
function makeIndex(count: number, nth = 3): Buffer {
  const zero = zeros.digestOf(CHUNK)!
  return encodeFixedIndex((count - 1) * CHUNK + 100, Array.from({ length: count }, (_, i) => (i % nth === 0 ? zero : randomBytes(32))), { chunkSize: CHUNK })
}

class File {
  bytes: Buffer
  reads = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  readonly read = async (offset: number, length: number): Promise<Uint8Array> => {
    this.reads++
    await Promise.resolve()
    return Uint8Array.from(this.bytes.subarray(offset, offset + length))
  }
}

async function entry(index: FixedIndex, i: number): Promise<string> {
  await index.pending?.(i, i)
  return Buffer.from(index.digestAt(i)).toString('hex')
}

describe('an index read page by page', () => {
  test.each([1, 2, 2048, 2049, 70_000])('says the same of %i chunks as one in memory', async (count) => {
    const file = new File(makeIndex(count))
    const [paged, whole] = [await openPagedFixedIndex(file.read, 'x.fidx', digests), parseFixedIndex(file.bytes, 'x.fidx')]
    expect([paged.size, paged.count, paged.chunkSize, paged.maxChunkSize, paged.csum, paged.ctime]).toEqual([
      whole.size, whole.count, whole.chunkSize, whole.maxChunkSize, whole.csum, whole.ctime,
    ]) // prettier-ignore
    for (const i of [0, 1, 2047, 2048, 4095, count >> 1, count - 1].filter((n) => n < count)) {
      expect(await entry(paged, i)).toBe(Buffer.from(whole.digestAt(i)).toString('hex'))
      expect(paged.keyAt(i)).toBe(whole.keyAt(i))
      expect([paged.startOf(i), paged.endOf(i), paged.chunkAt(paged.startOf(i))]).toEqual([whole.startOf(i), whole.endOf(i), i])
      expect(paged.zeroMap!.has(i)).toBe(zeros.has(whole, i))
    }
  })

  test('memory does not grow with what was looked at, and pages that went are read again', async () => {
    const file = new File(makeIndex(300_000))
    const paged = await openPagedFixedIndex(file.read, 'x.fidx', digests)
    expect(paged.memoryBytes!).toBeLessThan(file.bytes.length / 2)
    for (let i = 0; i < paged.count; i += 2048) await paged.pending!(i, i)
    const before = file.reads
    expect(paged.pending!(paged.count - 1, paged.count - 1)).toBeUndefined()
    expect(file.reads).toBe(before)
    await paged.pending!(0, 0)
    expect(file.reads).toBe(before + 1)
    expect(() => paged.digestAt(100_000)).toThrow(/was not brought into memory/)
  })

  test('a page asked for twice at once is read once', async () => {
    const file = new File(makeIndex(5000))
    const paged = await openPagedFixedIndex(file.read, 'x.fidx', digests)
    const before = file.reads
    await Promise.all([paged.pending!(0, 10), paged.pending!(5, 2100)])
    expect(file.reads).toBe(before + 2)
  })

  test('a page that is not what it was is refused', async () => {
    const file = new File(makeIndex(5000))
    const paged = await openPagedFixedIndex(file.read, 'x.fidx', digests)
    file.bytes[4096 + 2048 * 32 + 5]! ^= 1
    await expect(paged.pending!(2048, 2048)).rejects.toMatchObject({ tag: 'integrity', fields: { stream: 'x.fidx', offset: 4096 + 65536 } })
    await paged.pending!(0, 0)
    file.bytes = file.bytes.subarray(0, 4096)
    await expect(paged.pending!(4096, 4096)).rejects.toMatchObject({ tag: 'integrity' })
  })

  const damage: [what: string, bytes: () => Buffer, tag: string][] = [
    ['cut in an entry', () => makeIndex(5000).subarray(0, -7), 'truncated'],
    ['cut at a page', () => makeIndex(5000).subarray(0, 4096 + 65536), 'truncated'],
    ['cut in the header', () => makeIndex(10).subarray(0, 4000), 'truncated'],
    ['a byte too long', () => Buffer.concat([makeIndex(5000), Buffer.alloc(1)]), 'format'],
    ['a byte behind a whole step', () => Buffer.concat([makeIndex(32_768), Buffer.alloc(1)]), 'format'],
    ['no index', () => Buffer.alloc(10_000), 'format'],
    ['an image of 2^53 bytes', () => { const b = makeIndex(10); b.writeBigUInt64LE(2n ** 53n - 1n, 64); return b }, 'format'],
  ] // prettier-ignore
  test.each(damage)('%s', async (_, bytes, tag) => {
    await expect(openPagedFixedIndex(new File(bytes()).read, 'x.fidx', digests)).rejects.toMatchObject({ tag, fields: { stream: 'x.fidx' } })
  })

  test('a failing storage is told, whenever it fails', async () => {
    const file = new File(makeIndex(70_000))
    for (const failing of [1, 2, 3, 4]) {
      let reads = 0
      const read = async (offset: number, length: number) => {
        if (++reads === failing) throw new Error('away')
        return file.read(offset, length)
      }
      await expect(openPagedFixedIndex(read, 'x.fidx', digests)).rejects.toThrow('away')
    }
  })
})

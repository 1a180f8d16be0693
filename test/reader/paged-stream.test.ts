import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPagedFixedIndex } from '#src/index/paged-fixed-index.js'
import { ZeroChunks } from '#src/index/zero-chunks.js'
import { ChunkStream } from '#src/reader/chunk-stream.js'
import { ChunkRig, noise } from '../support/chunk-rig.js'
import { encodeFixedIndex } from '../support/datastore-writer.js'

const CHUNK = 65536
const COUNT = 5000

/** Chunk `i` of the image; two of three are zeros. */
const contentOf = (i: number) => (i % 3 === 0 ? noise(CHUNK, i % 7) : Buffer.alloc(CHUNK))

describe('an image whose index is not in memory', () => {
  let rig: ChunkRig
  let stream: ChunkStream
  let reads = 0
  let broken = false

  beforeAll(async () => {
    rig = new ChunkRig()
    const zero = rig.store.addChunk(Buffer.alloc(CHUNK))
    const digests = Array.from({ length: COUNT }, (_, i) => (i % 3 === 0 ? rig.store.addChunk(contentOf(i)) : zero))
    const file = encodeFixedIndex(COUNT * CHUNK, digests, { chunkSize: CHUNK })
    const zeros = new ZeroChunks()
    const read = async (offset: number, length: number): Promise<Uint8Array> => {
      reads++
      if (broken) throw new Error('storage is away')
      return Uint8Array.from(file.subarray(offset, offset + length))
    }
    const index = await openPagedFixedIndex(read, 'big.fidx', (length) => [zeros.digestOf(length) ?? []].flat())
    stream = new ChunkStream('big.fidx', index, rig.loader, { encrypted: false, readahead: 2, replyFd: 1 })
  })
  afterAll(() => rig.close())

  test('a failure of the storage reaches the reader, and is forgotten', async () => {
    broken = true
    await expect(stream.read(0, 10)).rejects.toThrow('storage is away')
    const failed = new Promise((resolve) => {
      stream.deliver!(0, 10, { header: new Uint8Array(16), ready: (send) => send(), done: () => resolve('done'), send: () => resolve('sent'), fail: resolve })
    })
    expect(await failed).toMatchObject({ message: 'storage is away' })
    broken = false
    expect(Buffer.from(await stream.read(0, CHUNK)).equals(contentOf(0))).toBe(true)
  })

  test('any read gives the bytes of the image', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(COUNT - 4), fc.nat(CHUNK - 1), fc.nat(3 * CHUNK), async (chunk, inside, length) => {
        const plain = Buffer.concat([0, 1, 2, 3].map((n) => contentOf(chunk + n))).subarray(inside, inside + length)
        const bytes = await stream.read(chunk * CHUNK + inside, length)
        expect(Buffer.from(bytes).equals(plain)).toBe(true)
        const peeked = stream.peek(chunk * CHUNK + inside, Math.min(length, 100))
        if (peeked !== undefined) expect(Buffer.from(peeked).equals(plain.subarray(0, 100))).toBe(true)
      }),
      { numRuns: 40 },
    )
  })

  test('holes are known without reading entries', () => {
    const before = reads
    expect(stream.nextData(CHUNK)).toBe(3 * CHUNK)
    expect(stream.nextHole(10)).toBe(CHUNK)
    expect(stream.nextData((COUNT - 1) * CHUNK)).toBe(COUNT * CHUNK)
    expect(stream.countData(0, 30 * CHUNK)).toBe(10 * CHUNK)
    expect(stream.countData(100, 3 * CHUNK)).toBe(CHUNK)
    expect(reads).toBe(before)
  })
})

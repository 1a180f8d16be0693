import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseDynamicIndex } from '#src/index/dynamic-index.js'
import { parseFixedIndex } from '#src/index/fixed-index.js'
import { compareWithManifest, parseIndex } from '#src/index/parse-index.js'
import type { ChunkIndex } from '#src/index/chunk-index.js'
import { FormatError, IntegrityError, isPbsfsError, TruncatedError } from '#src/errors/errors.js'
import { encodeDynamicIndex, encodeFixedIndex } from '../support/datastore-writer.js'

const MiB = 1024 * 1024
const digests = [1, 2, 3].map((value) => Buffer.alloc(32, value))

const fixed = encodeFixedIndex(2 * 4 * MiB + 1000, digests)
const dynamic = encodeDynamicIndex([1000, 5000, 6000].map((end, i) => ({ end, digest: digests[i]! })))
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

function errorOf(action: () => unknown): Error & { tag?: string } {
  try {
    action()
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was thrown')
}

function patch(bytes: Uint8Array, at: number, value: bigint): Buffer {
  const copy = Buffer.from(bytes)
  copy.writeBigUInt64LE(value, at)
  return copy
}

describe('fixed index', () => {
  it('reads the vector', () => {
    expect(fixed).toHaveLength(4192)
    expect(sha256(fixed.subarray(4096))).toBe('8a2e491356cfdb05a1d13785e0794d7cd163f91af79a146c976b1d2ac643b679')
    // The header of the vector has its csum field in place.
    expect(sha256(fixed)).toBe('b1cf9e83a64003fd98880c1c6895b83e73075537abe311568fc949eaf47f9c41')
    const index = parseFixedIndex(fixed, 'a.img.fidx')
    expect(index).toMatchObject({
      kind: 'fixed',
      name: 'a.img.fidx',
      size: 8389608,
      count: 3,
      chunkSize: 4 * MiB,
      maxChunkSize: 4 * MiB,
      ctime: 1728307931,
      csum: '8a2e491356cfdb05a1d13785e0794d7cd163f91af79a146c976b1d2ac643b679',
    })
    expect([0, 4 * MiB - 1, 4 * MiB, 8 * MiB, 8389607].map((offset) => index.chunkAt(offset))).toEqual([0, 0, 1, 2, 2])
    expect([index.startOf(2), index.endOf(1), index.endOf(2)]).toEqual([8 * MiB, 8 * MiB, 8389608])
    expect(Buffer.from(index.digestAt(1))).toEqual(digests[1])
    expect(index.keyAt(2)).toBe('\x03'.repeat(32))
  })

  it('is smaller than a chunk', () => {
    const index = parseFixedIndex(encodeFixedIndex(540672, [digests[0]!]), 'x')
    expect(index).toMatchObject({ count: 1, maxChunkSize: 540672 })
    expect([index.startOf(0), index.endOf(0)]).toEqual([0, 540672])
  })

  it('computes positions beyond 32 bits', () => {
    const many = Array.from({ length: 6144 }, (_, i) => Buffer.alloc(32, i))
    const index = parseFixedIndex(encodeFixedIndex(6144 * 4 * MiB, many), 'x')
    expect(index.chunkAt(6144 * 4 * MiB - 1)).toBe(6143)
    expect(index.endOf(6143)).toBe(6144 * 4 * MiB)
  })

  it.each<[string, Buffer, string]>([
    ['an empty file', Buffer.alloc(0), 'truncated'],
    ['a cut header', fixed.subarray(0, 4095), 'truncated'],
    ['a missing entry', fixed.subarray(0, -32), 'truncated'],
    ['half an entry', fixed.subarray(0, -1), 'truncated'],
    ['bytes behind the entries', Buffer.concat([fixed, Buffer.alloc(1)]), 'format'],
    ['one entry too many', Buffer.concat([fixed, digests[0]!]), 'format'],
    ['another magic', Buffer.concat([Buffer.alloc(8), fixed.subarray(8)]), 'format'],
    ['chunk size 0', patch(fixed, 72, 0n), 'format'],
    ['chunk size 1', patch(fixed, 72, 1n), 'format'],
    ['chunk size that is no power of two', patch(fixed, 72, 3n * 1048576n), 'format'],
    ['chunk size of 32 MiB', patch(fixed, 72, 32n * 1048576n), 'format'],
    ['chunk size of 2^32', patch(fixed, 72, 1n << 32n), 'format'],
    ['chunk size of 2^63', patch(fixed, 72, 1n << 63n), 'format'],
    ['size 0', patch(fixed, 64, 0n), 'format'],
    ['size 2^53', patch(fixed, 64, 1n << 53n), 'format'],
    ['size 2^64-1', patch(fixed, 64, (1n << 64n) - 1n), 'format'],
    ['size 2^53-1', patch(fixed, 64, (1n << 53n) - 1n), 'truncated'],
  ])('refuses %s', (_, bytes, tag) => {
    const error = errorOf(() => parseFixedIndex(bytes, 'bad.img'))
    expect(error).toMatchObject({ tag, fields: { stream: 'bad.img' } })
    expect(error.message).toContain('bad.img')
  })
})

describe('dynamic index', () => {
  it('reads the vector', () => {
    expect(dynamic).toHaveLength(4216)
    expect(sha256(dynamic)).toBe('3219841243329c17694425f730ac601d90c3b4ad35afec8cec8eda1ecd4edfaf')
    const index = parseDynamicIndex(dynamic, 'a.pxar.didx')
    expect(index).toMatchObject({
      kind: 'dynamic',
      size: 6000,
      count: 3,
      maxChunkSize: 4000,
      ctime: 1728307931,
      csum: '2b28bc57e7b44a4c66129f841d0bdee52900dd210dd9bb57a9780414e1762df5',
    })
    expect([0, 999, 1000, 4999, 5000, 5999].map((offset) => index.chunkAt(offset))).toEqual([0, 0, 1, 1, 2, 2])
    expect([index.startOf(0), index.startOf(2), index.endOf(2)]).toEqual([0, 5000, 6000])
    expect(Buffer.from(index.digestAt(2))).toEqual(digests[2])
    expect(index.keyAt(0)).toBe('\x01'.repeat(32))
  })

  const ends = (...values: (number | bigint)[]): Buffer =>
    encodeDynamicIndex(values.map((end, i) => ({ end, digest: Buffer.alloc(32, i + 1) })))

  it.each<[string, Buffer, string]>([
    ['an empty file', Buffer.alloc(0), 'truncated'],
    ['a header without entries', dynamic.subarray(0, 4096), 'format'],
    ['a cut entry', dynamic.subarray(0, -1), 'truncated'],
    ['bytes behind the entries', Buffer.concat([dynamic, Buffer.alloc(8)]), 'truncated'],
    ['a fixed index', fixed, 'format'],
    ['a first chunk of no bytes', ends(0, 10), 'format'],
    ['a chunk of no bytes', ends(10, 10), 'format'],
    ['ends that fall', ends(10, 20, 15), 'format'],
    ['a chunk above 16 MiB', ends(10, 11 + 16 * MiB), 'format'],
    ['an end of 2^53', ends(10, 1n << 53n), 'format'],
    ['an end of 2^64-1', ends((1n << 64n) - 1n), 'format'],
  ])('refuses %s', (_, bytes, tag) => {
    expect(errorOf(() => parseDynamicIndex(bytes, 'bad.pxar'))).toMatchObject({ tag, fields: { stream: 'bad.pxar' } })
  })

  it('accepts a chunk of exactly 16 MiB, and names the offset of a bad entry', () => {
    expect(parseDynamicIndex(ends(10, 10 + 16 * MiB), 'x').maxChunkSize).toBe(16 * MiB)
    expect(errorOf(() => parseDynamicIndex(ends(10, 20, 15), 'x'))).toMatchObject({ fields: { offset: 4096 + 80, actual: 15 } })
  })
})

describe('either kind', () => {
  it('is told by its magic, and its name must not say otherwise', () => {
    expect(parseIndex(fixed, 'a.img.fidx').kind).toBe('fixed')
    expect(parseIndex(dynamic, 'whatever').kind).toBe('dynamic')
    expect(errorOf(() => parseIndex(fixed, 'a.pxar.didx'))).toBeInstanceOf(FormatError)
    expect(errorOf(() => parseIndex(dynamic, 'a.img.fidx'))).toBeInstanceOf(FormatError)
    expect(errorOf(() => parseIndex(Buffer.alloc(5000), 'a.img.fidx'))).toBeInstanceOf(FormatError)
    expect(errorOf(() => parseIndex(Buffer.alloc(5), 'a.img.fidx'))).toBeInstanceOf(TruncatedError)
  })

  it('is compared with the manifest', () => {
    const index = parseIndex(dynamic, 'a.pxar.didx')
    expect(compareWithManifest(index, { csum: index.csum.toUpperCase(), size: 6000 })).toBeUndefined()
    const csum = '00'.repeat(32)
    expect(errorOf(() => compareWithManifest(index, { csum, size: 6000 }))).toBeInstanceOf(IntegrityError)
    expect(errorOf(() => compareWithManifest(index, { csum: index.csum, size: 6001 }))).toBeInstanceOf(IntegrityError)
    expect(compareWithManifest(index, { csum, size: 6000 }, true)).toContain('checksum')
  })

  const anyIndex = fc.array(fc.integer({ min: 1, max: 5_000_000 }), { minLength: 1, maxLength: 200 }).map((lengths) => {
    let end = 0
    const entries = lengths.map((length, i) => ({ end: (end += length), digest: Buffer.alloc(32, i) }))
    return parseDynamicIndex(encodeDynamicIndex(entries), 'x')
  })

  function scan(index: ChunkIndex, offset: number): number {
    for (let i = 0; i < index.count; i++) if (index.startOf(i) <= offset && offset < index.endOf(i)) return i
    return -1
  }

  it('searching equals a linear scan', () => {
    fc.assert(
      fc.property(anyIndex, fc.nat(), (index, seed) => {
        const offset = seed % index.size
        expect(index.chunkAt(offset)).toBe(scan(index, offset))
        const i = index.chunkAt(offset)
        expect(index.chunkAt(index.startOf(i))).toBe(i)
        expect(index.chunkAt(index.endOf(i) - 1)).toBe(i)
      }),
      { numRuns: 500 },
    )
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 * 65536 }), fc.nat(), (size, seed) => {
        const list = Array.from({ length: Math.ceil(size / 65536) }, () => digests[0]!)
        const index = parseFixedIndex(encodeFixedIndex(size, list, { chunkSize: 65536 }), 'x')
        expect(index.chunkAt(seed % size)).toBe(scan(index, seed % size))
      }),
    )
  })

  it('any damage: a named error, or an index whose chunks cover the stream and whose csum tells', () => {
    const good = [fixed, dynamic]
    fc.assert(
      fc.property(fc.nat(1), fc.nat(), fc.nat(7), fc.boolean(), (which, position, bit, cut) => {
        const bytes = Buffer.from(good[which]!)
        // Most of the header is unused: aim at what is looked at.
        const hot = position % 3 === 0 ? position % bytes.length : position % 3 === 1 ? position % 80 : 4096 + (position % (bytes.length - 4096))
        if (!cut) bytes[hot]! ^= 1 << bit
        const damaged = cut ? bytes.subarray(0, position % bytes.length) : bytes
        let index: ChunkIndex
        try {
          index = parseIndex(damaged, 'x')
        } catch (error) {
          if (!isPbsfsError(error)) throw error
          return
        }
        let end = 0
        for (let i = 0; i < index.count; i++) {
          expect(index.startOf(i)).toBe(end)
          expect(index.endOf(i)).toBeGreaterThan(end)
          end = index.endOf(i)
        }
        expect(end).toBe(index.size)
        const original = parseIndex(good[which]!, 'x')
        const same = damaged.subarray(4096).equals(good[which]!.subarray(4096))
        expect(index.csum === original.csum).toBe(same)
      }),
      { numRuns: 3000 },
    )
  })
})

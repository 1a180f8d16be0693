import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeBlobFile, decodeChunk } from '#src/blob/decode.js'
import { parseBlob, verifyCrc } from '#src/blob/data-blob.js'
import { FormatError, IntegrityError, isPbsfsError, KeyError, TruncatedError, UnsupportedError } from '#src/errors/errors.js'
import { compressZstd, digestOf, encodeBlob, encodeFixedIndex, encodeRawBlob, testKey, type BlobKind } from '../support/datastore-writer.js'

const hello = Buffer.from('hello proxmox')
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')

/** Bytes as a server wrote them. */
const vectors = {
  plain: hex('42ab3807be8370a1 905a13e3 68656c6c6f2070726f786d6f78'),
  encrypted: hex(`7b6785be222d4cf0 3fd0d1af a0a1a2a3a4a5a6a7a8a9aaabacadaeaf
    cdf0e2487da8e96a59449e990a1cd9ca 42c64fd077edbd04ace672de95`),
  // zstd frame without content size
  zstd: hex('31b958426fb6a37f 2de0e11d 28b52ffd0048ad00007068656c6c6f2070726f786d6f7820010007a14e25'),
}
const digests = {
  plain: hex('a56c488d868a901dc8b7b274597899cfa58a9d3dd3906f8800bba451462b71db'),
  encrypted: hex('d4b0608794537d57249b0274b6599f29c5b12af9e9584d8897048075b156a19a'),
  zstd: hex('4766309d5db441bdd159b8c04bd680b9b0a4b179cf5154bb4b32f3504a7cf24a'),
}

function decode(bytes: Uint8Array, digest: Uint8Array, size: number, encrypted = false): Buffer {
  const dst = new Uint8Array(new SharedArrayBuffer(size))
  decodeChunk(bytes, digest, dst, encrypted, encrypted ? testKey : undefined)
  return Buffer.from(dst)
}

function errorOf(action: () => unknown): Error {
  try {
    action()
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was thrown')
}

describe('data blob', () => {
  it('takes the header apart', () => {
    const plain = parseBlob(vectors.plain, 'x')
    expect(plain).toMatchObject({ encrypted: false, compressed: false, crc: 0xe3135a90, headerSize: 12 })
    expect(Buffer.from(plain.payload)).toEqual(hello)
    const encrypted = parseBlob(vectors.encrypted, 'x')
    expect(encrypted).toMatchObject({ encrypted: true, compressed: false, headerSize: 44 })
    expect(Buffer.from(encrypted.iv!).toString('hex')).toBe('a0a1a2a3a4a5a6a7a8a9aaabacadaeaf')
    expect(Buffer.from(encrypted.tag!).toString('hex')).toBe('cdf0e2487da8e96a59449e990a1cd9ca')
    expect(encrypted.payload).toHaveLength(13)
    expect(() => verifyCrc(encrypted)).not.toThrow()
  })

  it('decodes the vectors', () => {
    expect(decode(vectors.plain, digests.plain, 13)).toEqual(hello)
    expect(decode(vectors.encrypted, digests.encrypted, 13, true)).toEqual(hello)
    expect(decode(vectors.zstd, digests.zstd, 280).toString()).toBe('hello proxmox '.repeat(20))
    expect(Buffer.from(decodeBlobFile(vectors.zstd, 'x')).toString()).toBe('hello proxmox '.repeat(20))
  })

  it('encodes as the server does (the test writer)', () => {
    expect(encodeBlob(hello, 'plain')).toEqual(vectors.plain)
    expect(encodeBlob(hello, 'encrypted')).toEqual(vectors.encrypted)
  })

  it('refuses what is too short, by name', () => {
    for (const length of [0, 1, 11]) {
      const error = errorOf(() => parseBlob(vectors.plain.subarray(0, length), 'x.blob'))
      expect(error).toBeInstanceOf(TruncatedError)
      expect(error).toMatchObject({ fields: { stream: 'x.blob', expected: 12, actual: length } })
    }
    expect(errorOf(() => parseBlob(vectors.encrypted.subarray(0, 43), 'x'))).toBeInstanceOf(TruncatedError)
    // 12 bytes: an empty plain payload has CRC 0
    expect(decodeBlobFile(Buffer.concat([vectors.plain.subarray(0, 8), Buffer.alloc(4)]), 'x')).toHaveLength(0)
  })

  it('tells obsolete and foreign magics apart', () => {
    const pad = Buffer.alloc(60)
    expect(errorOf(() => parseBlob(Buffer.concat([hex('1f87eee291ce0502'), pad]), 'x'))).toBeInstanceOf(UnsupportedError)
    expect(errorOf(() => parseBlob(Buffer.concat([hex('7ea60fbe911fa960'), pad]), 'x'))).toBeInstanceOf(UnsupportedError)
    const index = errorOf(() => parseBlob(encodeFixedIndex(65536, [digests.plain]), 'x'))
    expect(index).toBeInstanceOf(FormatError)
    expect(index.message).toContain('.fidx')
    expect(errorOf(() => parseBlob(pad, 'x'))).toMatchObject({ tag: 'format', fields: { offset: 0, actual: '0000000000000000' } })
  })

  it('names a CRC that does not match', () => {
    const bad = Buffer.from(vectors.plain)
    bad[14]! ^= 1
    const error = errorOf(() => decode(bad, digests.plain, 13))
    expect(error).toBeInstanceOf(IntegrityError)
    expect(error).toMatchObject({ fields: { digest: digests.plain.toString('hex'), expected: 'e3135a90' } })
  })

  it('checks the digest even when the CRC was made to fit', () => {
    const other = encodeBlob(Buffer.from('hello proxmoy'), 'plain')
    const error = errorOf(() => decode(other, digests.plain, 13))
    expect(error).toBeInstanceOf(IntegrityError)
    expect(error.message).toContain('digest')
    // two valid chunks under the same key, swapped
    const swapped = encodeBlob(Buffer.from('hello proxmoy'), 'encrypted')
    expect(errorOf(() => decode(swapped, digests.encrypted, 13, true)).message).toContain('digest')
  })

  it('wants exactly the expected length', () => {
    for (const size of [0, 12, 14]) expect(errorOf(() => decode(vectors.plain, digests.plain, size))).toBeInstanceOf(IntegrityError)
    for (const size of [0, 279, 281]) expect(errorOf(() => decode(vectors.zstd, digests.zstd, size))).toBeInstanceOf(IntegrityError)
  })

  it('refuses the other class of chunk, and an encrypted one without key', () => {
    expect(errorOf(() => decode(vectors.plain, digests.plain, 13, true))).toBeInstanceOf(IntegrityError)
    expect(errorOf(() => decode(vectors.encrypted, digests.encrypted, 13, false))).toBeInstanceOf(IntegrityError)
    const dst = new Uint8Array(13)
    expect(errorOf(() => decodeChunk(vectors.encrypted, digests.encrypted, dst, true))).toBeInstanceOf(KeyError)
    const wrong = { encKey: Buffer.alloc(32, 7), idKey: testKey.idKey }
    const error = errorOf(() => decodeChunk(vectors.encrypted, digests.encrypted, dst, true, wrong))
    expect(error).toBeInstanceOf(IntegrityError)
    expect(Buffer.from(dst)).toEqual(Buffer.alloc(13))
    expect(errorOf(() => decodeChunk(vectors.encrypted, digests.encrypted, dst, true, { ...wrong, encKey: Buffer.alloc(5) }))).toBeInstanceOf(KeyError)
  })
})

describe('compressed payloads', () => {
  const data = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * i) >> 7))
  const digest = digestOf(data)

  it.each<[string, Parameters<typeof encodeBlob>[2]]>([
    ['one frame', {}],
    ['without content size', { withoutContentSize: true }],
    ['three frames', { frames: 3 }],
    ['three frames without content size', { frames: 3, withoutContentSize: true }],
  ])('%s', (_, options) => {
    expect(decode(encodeBlob(data, 'zstd', options), digest, data.length).equals(data)).toBe(true)
    expect(Buffer.from(decodeBlobFile(encodeBlob(data, 'zstd', options), 'x')).equals(data)).toBe(true)
    const keyed = encodeBlob(data, 'encrypted-zstd', options)
    expect(decode(keyed, digestOf(data, testKey), data.length, true).equals(data)).toBe(true)
  })

  it('the writer really leaves the content size out', () => {
    // Frame header descriptor: bits 7-6 content size flag, bit 5 single segment.
    expect(compressZstd(data, { withoutContentSize: true })[4]! & 0xe0).toBe(0)
    expect(compressZstd(data)[4]! & 0xe0).not.toBe(0)
  })

  it('refuses trailing bytes, cut frames and an empty payload', () => {
    for (const options of [{}, { withoutContentSize: true }]) {
      const frame = compressZstd(data, options)
      const cases = [
        Buffer.concat([frame, Buffer.from([0])]),
        Buffer.concat([frame, Buffer.from('some more bytes')]),
        frame.subarray(0, -1),
        frame.subarray(0, 5),
        Buffer.alloc(0),
      ]
      for (const payload of cases) {
        const blob = encodeRawBlob(payload, 'zstd')
        expect(isPbsfsError(errorOf(() => decode(blob, digest, data.length)))).toBe(true)
        expect(isPbsfsError(errorOf(() => decodeBlobFile(blob, 'x')))).toBe(true)
      }
    }
  })

  it('refuses a dictionary', () => {
    const frame = hex('28b52ffd 01 48 07 ad00007068656c6c6f2070726f786d6f7820010007a14e25')
    const blob = encodeRawBlob(frame, 'zstd')
    expect(errorOf(() => decode(blob, digests.zstd, 280))).toMatchObject({ tag: 'unsupported', fields: { dictionary: 7 } })
    expect(errorOf(() => decodeBlobFile(blob, 'x'))).toBeInstanceOf(UnsupportedError)
  })

  it('bounds the output', () => {
    const zeros = Buffer.alloc(8 * 1024 * 1024)
    for (const options of [{}, { withoutContentSize: true }]) {
      const bomb = encodeBlob(zeros, 'zstd', options)
      expect(bomb.length).toBeLessThan(2000)
      expect(errorOf(() => decodeBlobFile(bomb, 'x', 1_000_000))).toMatchObject({ tag: 'format', fields: { actual: 'more' } })
      expect(decodeBlobFile(bomb, 'x', zeros.length)).toHaveLength(zeros.length)
      expect(errorOf(() => decodeBlobFile(bomb, 'x', zeros.length - 1))).toBeInstanceOf(FormatError)
      expect(errorOf(() => decode(bomb, digestOf(zeros), 1000))).toBeInstanceOf(IntegrityError)
    }
    expect(errorOf(() => decodeBlobFile(encodeBlob(hello, 'plain'), 'x', 12))).toBeInstanceOf(FormatError)
  })

  it('a failed stream does not spoil the next', () => {
    const good = encodeBlob(data, 'zstd', { withoutContentSize: true })
    expect(() => decodeBlobFile(encodeRawBlob(compressZstd(data).subarray(0, 100), 'zstd'), 'x')).toThrow()
    expect(() => decode(encodeRawBlob(compressZstd(data).subarray(0, 100), 'zstd'), digest, data.length)).toThrow()
    expect(Buffer.from(decodeBlobFile(good, 'x')).equals(data)).toBe(true)
    expect(decode(good, digest, data.length).equals(data)).toBe(true)
  })
})

describe('any content and any damage', () => {
  const kinds: BlobKind[] = ['plain', 'zstd', 'encrypted', 'encrypted-zstd']

  it('decodes what was encoded', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 3000 }), fc.constantFrom(...kinds), (plain, kind) => {
        const encrypted = kind.startsWith('encrypted')
        const blob = encodeBlob(plain, kind)
        const digest = digestOf(plain, encrypted ? testKey : undefined)
        expect(decode(blob, digest, plain.length, encrypted).equals(plain)).toBe(true)
        expect(Buffer.from(decodeBlobFile(blob, 'x', 3000, testKey)).equals(plain)).toBe(true)
      }),
    )
  })

  it('never gives a wrong byte behind a digest', () => {
    const damage = fc.record({ at: fc.nat(), bit: fc.nat(7), cut: fc.boolean(), fixCrc: fc.boolean() })
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 400 }), fc.constantFrom(...kinds), damage, (plain, kind, { at, bit, cut, fixCrc }) => {
        const encrypted = kind.startsWith('encrypted')
        const digest = digestOf(plain, encrypted ? testKey : undefined)
        const good = encodeBlob(plain, kind)
        let bad = Buffer.from(cut ? good.subarray(0, at % good.length) : good)
        if (!cut) bad[at % bad.length]! ^= 1 << bit
        const header = encrypted ? 44 : 12
        if (fixCrc && bad.length >= header) {
          const fixed = encodeRawBlob(bad.subarray(header), 'plain')
          bad = Buffer.concat([bad.subarray(0, 8), fixed.subarray(8, 12), bad.subarray(12)])
        }
        let result: Buffer
        try {
          result = decode(bad, digest, plain.length, encrypted)
        } catch (error) {
          if (!isPbsfsError(error)) throw error
          return
        }
        expect(result.equals(plain)).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })
})

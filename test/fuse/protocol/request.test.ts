import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { viewOf } from '#src/bytes/le.js'
import {
  batchForgetCount, batchForgetLookups, batchForgetNodeHi, batchForgetNodeLo, decodeRequest, forgetCount, FuseRequest,
  readName, readOffset, readSize,
} from '#src/fuse/protocol/request.js' // prettier-ignore
import { packRequest, readIn, u32, u64 } from '../../support/fake-kernel.js'

// A READ as Linux 6.18 sends it.
const READ = Buffer.from(
  [
    '50000000', // len 80
    '0f000000', // opcode READ
    '0800000000000080', // unique, bit 63 set
    '0500000001000000', // nodeid 0x1_00000005
    'e8030000', // uid 1000
    'e9030000', // gid 1001
    '92100000', // pid 4242
    '00000000', // total_extlen, padding
    '0000000000000000', // fh
    '0010000002000000', // offset 0x2_00001000
    '00000200', // size 131072
    '02000000', // read_flags
    '0000000000000000', // lock_owner
    '00800000', // flags
    '00000000', // padding
  ].join(''),
  'hex',
)

describe('decodeRequest', () => {
  it('reads the header and keeps 64-bit numbers whole', () => {
    const request = new FuseRequest()
    expect(decodeRequest(viewOf(READ), READ.length, request)).toBe('ok')
    expect(request).toMatchObject({
      opcode: 15, uniqueHi: 0x80000000, uniqueLo: 8, nodeHi: 1, nodeLo: 5, uid: 1000, gid: 1001, pid: 4242, length: 80,
    }) // prettier-ignore
    expect(readOffset(viewOf(READ))).toBe(0x2_0000_1000)
    expect(readSize(viewOf(READ))).toBe(131072)
  })

  it('tells what is wrong', () => {
    const request = new FuseRequest()
    expect(decodeRequest(viewOf(READ), 39, request)).toBe('no-header')
    expect(decodeRequest(viewOf(READ.subarray(0, 50)), 80, request)).toBe('no-header')
    expect(decodeRequest(viewOf(READ), 79, request)).toBe('bad-length')
    expect(decodeRequest(viewOf(packRequest(15, 1n, 2n, Buffer.alloc(39))), 79, request)).toBe('short-body')
    expect(decodeRequest(viewOf(packRequest(7, 1n, 2n)), 40, request)).toBe('unknown')
    expect(decodeRequest(viewOf(packRequest(0xffffffff, 1n, 2n)), 40, request)).toBe('unknown')
  })

  it('gives -1 for a position above 2^53-1', () => {
    expect(readOffset(viewOf(packRequest(15, 1n, 2n, readIn(2n ** 53n - 1n, 1))))).toBe(2 ** 53 - 1)
    expect(readOffset(viewOf(packRequest(15, 1n, 2n, readIn(2n ** 53n, 1))))).toBe(-1)
  })
})

describe('readName', () => {
  const name = (bytes: Uint8Array): Uint8Array | undefined => readName(bytes, 0, bytes.length)

  it('copies the name', () => {
    const bytes = Buffer.from('caf\xe9\0', 'latin1')
    const found = name(bytes)
    bytes.fill(0)
    expect(found).toEqual(Uint8Array.from([0x63, 0x61, 0x66, 0xe9]))
  })

  it('refuses what is not one terminated name', () => {
    expect(name(Buffer.from(''))).toBeUndefined()
    expect(name(Buffer.from('\0'))).toBeUndefined()
    expect(name(Buffer.from('abc'))).toBeUndefined()
    expect(name(Buffer.from('a\0b\0'))).toBeUndefined()
    expect(name(Buffer.from('a\0b'))).toBeUndefined()
  })

  it('never looks past the length it is given', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), fc.nat(20), (bytes, length) => {
        const found = readName(bytes, 0, Math.min(length, bytes.length))
        if (found !== undefined) expect(found.length).toBe(Math.min(length, bytes.length) - 1)
      }),
    )
  })
})

describe('forgets', () => {
  it('counts at most 2^53-1', () => {
    expect(forgetCount(viewOf(packRequest(2, 5n, 2n, u64(3))))).toBe(3)
    expect(forgetCount(viewOf(packRequest(2, 5n, 2n, u64(2n ** 64n - 1n))))).toBe(Number.MAX_SAFE_INTEGER)
  })

  it('believes a batch only as far as it is there', () => {
    const bytes = packRequest(42, 0n, 2n, Buffer.concat([u32(1_000_000, 0), u64(2n ** 32n + 7n, 2, 8, 1), Buffer.alloc(9)]))
    const view = viewOf(bytes)
    expect(batchForgetCount(view, bytes.length)).toBe(2)
    expect([batchForgetNodeHi(view, 0), batchForgetNodeLo(view, 0), batchForgetLookups(view, 0)]).toEqual([1, 7, 2])
    expect([batchForgetNodeHi(view, 1), batchForgetNodeLo(view, 1), batchForgetLookups(view, 1)]).toEqual([0, 8, 1])
  })
})

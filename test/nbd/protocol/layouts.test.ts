import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeClientFlags, decodeOptionHeader, encodeExportReply, encodeGreeting, encodeOptionReply } from '#src/nbd/protocol/handshake.js'
import {
  decodeInfoRequest, decodeMetaRequest, decodeString, encodeInfoBlockSize, encodeInfoExport, encodeInfoText, encodeMetaContext, encodeServer,
} from '#src/nbd/protocol/options.js' // prettier-ignore
import { encodeBlockStatus, encodeDataHeader, encodeErrorChunk, encodeHole, encodeNone, encodeSimpleReply } from '#src/nbd/protocol/reply.js'
import { commandName, decodeRequest } from '#src/nbd/protocol/request.js'
import { string, u16, u32, u64 } from '../../support/nbd-client.js'

const bytes = (...hex: string[]): Buffer => Buffer.from(hex.join('').replaceAll(' ', ''), 'hex')

describe('handshake', () => {
  it('greeting: NBDMAGIC, IHAVEOPT, fixed newstyle and no zeroes', () => {
    expect(encodeGreeting()).toEqual(bytes('4e42444d41474943', '49484156454f5054', '0003'))
  })

  it('flags of the client', () => {
    expect(decodeClientFlags(bytes('00000003'))).toEqual({ fixed: true, noZeroes: true })
    expect(decodeClientFlags(bytes('00000000'))).toEqual({ fixed: false, noZeroes: false })
    expect(decodeClientFlags(bytes('00000004'))).toBeUndefined()
    expect(decodeClientFlags(bytes('80000001'))).toBeUndefined()
  })

  it('header of an option', () => {
    expect(decodeOptionHeader(bytes('49484156454f5054', '00000007', '00000102'))).toEqual({ option: 7, length: 258 })
    expect(decodeOptionHeader(bytes('49484156454f5055', '00000007', '00000102'))).toBeUndefined()
    expect(decodeOptionHeader(bytes('48484156454f5054', '00000007', '00000102'))).toBeUndefined()
  })

  it('reply to an option', () => {
    expect(encodeOptionReply(3, 0x80000001, Buffer.from('no'))).toEqual(bytes('0003e889045565a9', '00000003', '80000001', '00000002', '6e6f'))
  })

  it('reply to the name of an export: with 124 zeros unless they were left out', () => {
    const head = bytes('0000000180000001', '0003')
    expect(encodeExportReply(0x1_8000_0001, 3, true)).toEqual(head)
    expect(encodeExportReply(0x1_8000_0001, 3, false)).toEqual(Buffer.concat([head, Buffer.alloc(124)]))
  })
})

describe('options', () => {
  it('what GO asks for', () => {
    expect(decodeInfoRequest(bytes('00000002', '6162', '0002', '0000 0003'))).toEqual({ name: 'ab', wanted: new Set([0, 3]) })
    expect(decodeInfoRequest(bytes('00000000', '0000'))).toEqual({ name: '', wanted: new Set() })
  })

  it('what contexts are asked for', () => {
    const data = Buffer.concat([string('disk'), u32(2), string('base:'), string('qemu:dirty-bitmap:b')])
    expect(decodeMetaRequest(data)).toEqual({ name: 'disk', queries: ['base:', 'qemu:dirty-bitmap:b'] })
    expect(decodeMetaRequest(Buffer.concat([string(''), u32(0)]))).toEqual({ name: '', queries: [] })
    expect(decodeMetaRequest(Buffer.concat([string('d'), u32(257), Buffer.alloc(257 * 4)]))).toBe('too-big')
  })

  it('lengths that lie, and what is left over, are refused', () => {
    const good = Buffer.concat([string('disk'), u16(1), u16(3)])
    for (let end = 0; end < good.length; end++) expect(decodeInfoRequest(good.subarray(0, end))).toBeUndefined()
    expect(decodeInfoRequest(Buffer.concat([good, Buffer.alloc(1)]))).toBeUndefined()
    const meta = Buffer.concat([string('disk'), u32(1), string('base:')])
    for (let end = 0; end < meta.length; end++) expect(decodeMetaRequest(meta.subarray(0, end))).toBeUndefined()
    expect(decodeMetaRequest(Buffer.concat([meta, Buffer.alloc(1)]))).toBeUndefined()
    expect(decodeMetaRequest(Buffer.concat([string(''), u32(0xffff_ffff)]))).toBeUndefined()
  })

  it('a string is UTF-8 without NUL, of at most 4096 bytes', () => {
    expect(decodeString(Buffer.from('größe'))).toBe('größe')
    expect(decodeString(Buffer.alloc(4096, 97))).toHaveLength(4096)
    expect(decodeString(Buffer.alloc(4097, 97))).toBeUndefined()
    expect(decodeString(bytes('6100'))).toBeUndefined()
    expect(decodeString(bytes('ff'))).toBeUndefined()
  })

  it('any bytes: a value or undefined, never an exception', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (data) => {
        decodeInfoRequest(data)
        decodeMetaRequest(data)
        decodeString(data)
      }),
      { numRuns: 300 },
    )
  })

  it('what is told of an export', () => {
    expect(encodeServer('d', 'text')).toEqual(bytes('00000001', '64', '74657874'))
    expect(encodeInfoExport(4096, 0x103)).toEqual(bytes('0000', '0000000000001000', '0103'))
    expect(encodeInfoText(2, 'x')).toEqual(bytes('0002', '78'))
    expect(encodeInfoBlockSize(1, 4096, 2 ** 25)).toEqual(bytes('0003', '00000001', '00001000', '02000000'))
    expect(encodeMetaContext(7, 'base:allocation')).toEqual(Buffer.concat([u32(7), Buffer.from('base:allocation')]))
  })
})

describe('transmission', () => {
  const request = decodeRequest(bytes('25609513', '0004', '0000', '0123456789abcdef', '0000000100000200', '00001000'))!

  it('a request', () => {
    expect(request).toEqual({ flags: 4, type: 0, handleHi: 0x01234567, handleLo: 0x89abcdef, offset: 0x1_0000_0200, length: 4096 })
    expect(decodeRequest(bytes('25609514', '0004', '0000', '0123456789abcdef', '0000000100000200', '00001000'))).toBeUndefined()
    expect(commandName(7)).toBe('BLOCK_STATUS')
    expect(commandName(99)).toBe('command 99')
  })

  it('an offset that no number holds is past any end', () => {
    for (const offset of ['0020000000000000', 'ffffffffffffffff']) {
      expect(decodeRequest(bytes('25609513', '0000', '0000', '0000000000000000', offset, '00000001'))!.offset).toBe(-1)
    }
    expect(decodeRequest(Buffer.concat([u32(0x25609513), u32(0), u64(0), u64(Number.MAX_SAFE_INTEGER), u32(1)]))!.offset).toBe(Number.MAX_SAFE_INTEGER)
  })

  it('replies carry the handle as it came', () => {
    expect(encodeSimpleReply(request, 22)).toEqual(bytes('67446698', '00000016', '0123456789abcdef'))
    expect(encodeNone(request)).toEqual(bytes('668e33ef', '0001', '0000', '0123456789abcdef', '00000000'))
    expect(encodeDataHeader(request, false, 0x1_0000_0200, 512)).toEqual(bytes('668e33ef', '0000', '0001', '0123456789abcdef', '00000208', '0000000100000200'))
    expect(encodeHole(request, true, 1, 2)).toEqual(bytes('668e33ef', '0001', '0002', '0123456789abcdef', '0000000c', '0000000000000001', '00000002'))
    expect(encodeBlockStatus(request, true, 9, [512, 3])).toEqual(bytes('668e33ef', '0001', '0005', '0123456789abcdef', '0000000c', '00000009', '00000200', '00000003'))
  })

  it('errors, with and without a place', () => {
    expect(encodeErrorChunk(request, true, 5, 'no')).toEqual(bytes('668e33ef', '0001', '8001', '0123456789abcdef', '00000008', '00000005', '0002', '6e6f'))
    expect(encodeErrorChunk(request, false, 5, '', 0x200)).toEqual(bytes('668e33ef', '0000', '8002', '0123456789abcdef', '0000000e', '00000005', '0000', '0000000000000200'))
  })

  it('a long message is cut between characters', () => {
    const chunk = encodeErrorChunk(request, true, 5, 'ü'.repeat(3000))
    const length = chunk.readUInt16BE(24)
    expect(length).toBeLessThanOrEqual(4096)
    expect(chunk.subarray(26, 26 + length).toString()).toBe('ü'.repeat(length / 2))
  })
})

import { describe, expect, it } from 'vitest'
import { viewOf } from '#src/bytes/le.js'
import { AttrBridge } from '#src/fuse/attr-bridge.js'
import { encodeRdev, writeValidity } from '#src/fuse/protocol/fuse-attr.js'
import { emptyAttr, FOREVER } from '#src/tree/tree.js'

const attr = {
  ...emptyAttr(), inoHi: 0xffffffff, inoLo: 0xfffffffe, mode: 0o020644, nlink: 3, uid: 1000, gid: 0xfffffffd, major: 0x123,
  minor: 0x45678, size: 2 ** 40 + 1, blocks: 9, blksize: 4096, mtimeSec: -1, mtimeNsec: 999_999_999, ttl: 1.5,
} // prettier-ignore

const WIRE =
  'feffffffffffffff' + // ino
  '0100000000010000' + // size
  '0900000000000000' + // blocks
  'ffffffffffffffff'.repeat(3) + // atime, mtime, ctime: -1
  'ffc99a3b'.repeat(3) + // nanoseconds
  'a4210000' + // mode
  '03000000' + // nlink
  'e8030000' + // uid
  'fdffffff' + // gid
  '78236145' + // rdev: minor 0x78, major 0x123 << 8, rest of the minor 0x45600 << 12
  '00100000' + // blksize
  '00000000' // flags

describe('AttrBridge', () => {
  it('writes fuse_attr', () => {
    const bytes = Buffer.alloc(90, 0xaa)
    new AttrBridge().writeAttr(viewOf(bytes), 1, attr)
    expect(bytes.toString('hex')).toBe('aa' + WIRE + 'aa')
  })

  it('encodes devices as the kernel does', () => {
    expect(encodeRdev(1, 3)).toBe(0x103)
    expect(encodeRdev(8, 0x101)).toBe(0x100801)
    expect(encodeRdev(0xfff, 0xfffff)).toBe(0xffffffff)
  })

  it('writes validities of attributes and names apart, and no generation', () => {
    const bytes = Buffer.alloc(128, 0xaa)
    new AttrBridge().writeEntryOut(viewOf(bytes), 0, { idHi: 2, idLo: 3, attr, entryTtl: FOREVER })
    expect(bytes.subarray(0, 40).toString('hex')).toBe(
      '0300000002000000' + '0000000000000000' + 'ffffff7f00000000' + '0100000000000000' + '00000000' + '0065cd1d',
    )
    const out = Buffer.alloc(104, 0xaa)
    new AttrBridge().writeAttrOut(viewOf(out), 0, attr)
    expect(out.subarray(0, 16).toString('hex')).toBe('0100000000000000' + '0065cd1d' + '00000000')
    expect(out.subarray(16)).toEqual(bytes.subarray(40))
  })

  it('shows other owners and permissions when told to', () => {
    const bytes = Buffer.alloc(88)
    new AttrBridge({ uid: 7, gid: 0, umask: 0o027 }).writeAttr(viewOf(bytes), 0, attr)
    expect(bytes.readUInt32LE(60)).toBe(0o020750)
    expect(bytes.readUInt32LE(68)).toBe(7)
    expect(bytes.readUInt32LE(72)).toBe(0)
  })

  it('writes a validity of nothing', () => {
    const bytes = Buffer.alloc(12, 0xaa)
    writeValidity(viewOf(bytes), 0, 8, 0)
    expect(bytes.toString('hex')).toBe('00'.repeat(12))
  })
})

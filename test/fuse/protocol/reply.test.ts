import { describe, expect, it } from 'vitest'
import { viewOf } from '#src/bytes/le.js'
import { writeGetxattrOut, writeLseekOut, writeOpenOut, writeOutHeader, writeStatfsOut } from '#src/fuse/protocol/reply.js'

function bytesOf(size: number, write: (view: DataView) => void): string {
  const bytes = Buffer.alloc(size, 0xaa)
  write(viewOf(bytes))
  return bytes.toString('hex')
}

describe('replies', () => {
  it('fuse_out_header', () => {
    expect(bytesOf(17, (view) => writeOutHeader(view, 1, 16, 5, 0x80000001, 0xfffffffe))).toBe(
      'aa' + '10000000' + 'fbffffff' + 'feffffff01000080', // len, -EIO, unique
    )
  })

  it('fuse_open_out', () => {
    expect(bytesOf(16, (view) => writeOpenOut(view, 0, 2 ** 40 + 1, 34))).toBe('0100000000010000' + '22000000' + '00000000')
  })

  it('fuse_statfs_out', () => {
    expect(bytesOf(80, (view) => writeStatfsOut(view, 0, 2 ** 33, 7, 4096, 255))).toBe(
      '0000000002000000' + // blocks
        '00'.repeat(16) + // bfree, bavail
        '0700000000000000' + // files
        '00'.repeat(8) + // ffree
        '00100000' + // bsize
        'ff000000' + // namelen
        '00100000' + // frsize
        '00'.repeat(28),
    )
  })

  it('fuse_lseek_out and fuse_getxattr_out', () => {
    expect(bytesOf(8, (view) => writeLseekOut(view, 0, 2 ** 32 + 5))).toBe('0500000001000000')
    expect(bytesOf(8, (view) => writeGetxattrOut(view, 0, 65535))).toBe('ffff000000000000')
  })
})

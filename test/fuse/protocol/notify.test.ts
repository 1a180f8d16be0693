import { describe, expect, it } from 'vitest'
import { viewOf } from '#src/bytes/le.js'
import { packDelete, packInvalEntry, packInvalInode, packStoreHead, STORE_HEAD_SIZE } from '#src/fuse/protocol/notify.js'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

describe('notifications', () => {
  it('INVAL_INODE', () => {
    expect(hex(packInvalInode(1, 2, -1, 0))).toBe(
      '28000000' + '02000000' + '0000000000000000' + // len, code, unique 0
        '0200000001000000' + 'ffffffffffffffff' + '0000000000000000',
    ) // prettier-ignore
  })

  it('INVAL_ENTRY ends with a NUL', () => {
    expect(hex(packInvalEntry(0, 1, Buffer.from('ab')))).toBe(
      '23000000' + '03000000' + '0000000000000000' + '0100000000000000' + '02000000' + '00000000' + '616200',
    )
    expect(hex(packInvalEntry(0, 1, Buffer.from('a'), true)).slice(48 + 8, 48 + 16)).toBe('01000000')
  })

  it('DELETE', () => {
    expect(hex(packDelete(0, 1, 0, 9, Buffer.from('a')))).toBe(
      '2a000000' + '06000000' + '0000000000000000' + '0100000000000000' + '0900000000000000' + '01000000' + '00000000' + '6100',
    )
  })

  it('STORE counts the data that follows', () => {
    const bytes = Buffer.alloc(STORE_HEAD_SIZE + 1, 0xaa)
    packStoreHead(viewOf(bytes), 1, 0, 7, 4096, 100)
    expect(hex(bytes)).toBe(
      'aa' + '8c000000' + '04000000' + '0000000000000000' + '0700000000000000' + '0010000000000000' + '64000000' + '00000000',
    )
  })
})

import { describe, expect, it } from 'vitest'
import { encodeListed, encodeStat, encodeStatvfs } from '#src/fuse-native/records.js'
import { emptyAttr } from '#src/tree/tree.js'

const U32 = 2 ** 32

describe('encodeStat', () => {
  it('writes the words of the record', () => {
    const attr = {
      ...emptyAttr(),
      mode: 0o100644, uid: 4_294_967_294, gid: 7, size: 5 * U32 + 3, nlink: 2, blocks: 6 * U32 + 1, blksize: 4096,
      mtimeSec: 14_989_000_000, mtimeNsec: 999_999_999,
    } // prettier-ignore
    const ms = 14_989_000_000_999
    const time = [ms % U32, Math.floor(ms / U32)]
    expect([...encodeStat(attr, 42, {})]).toEqual([
      0o100644, 4_294_967_294, 7, /* size */ 3, 5, /* dev */ 0, /* nlink */ 2, /* ino */ 42, /* rdev */ 0, 4096,
      /* blocks */ 1, 6, ...time, ...time, ...time,
    ]) // prettier-ignore
  })

  it('never shows a time before 1970, which the library would turn into one far ahead', () => {
    const times = (mtimeSec: number, mtimeNsec: number) => [...encodeStat({ ...emptyAttr(), mtimeSec, mtimeNsec }, 1, {}).subarray(12)]
    expect(times(-1, 999_999_999)).toEqual([0, 0, 0, 0, 0, 0])
    expect(times(-631_152_000, 1)).toEqual([0, 0, 0, 0, 0, 0])
    expect(times(0, 1_999_999)).toEqual([1, 0, 1, 0, 1, 0])
  })

  it('packs device numbers as glibc and the kernel do', () => {
    const rdev = (major: number, minor: number) => encodeStat({ ...emptyAttr(), major, minor }, 1, {})[8]
    expect(rdev(1, 3)).toBe(0x103)
    expect(rdev(8, 17)).toBe(0x811)
    expect(rdev(4095, 1_048_575)).toBe(0xffff_ffff)
  })

  it('shows other owners and permissions where asked to, and hides permissions last', () => {
    const attr = { ...emptyAttr(), mode: 0o104750, uid: 1, gid: 2 }
    expect([...encodeStat(attr, 1, { uid: 1000, gid: 1001, umask: 0o022 }).subarray(0, 3)]).toEqual([0o100755, 1000, 1001])
    expect([...encodeStat(attr, 1, { uid: 0, gid: 0, umask: 0 }).subarray(0, 3)]).toEqual([0o100777, 0, 0])
    expect(encodeStat(attr, 1, {}, 0o077)[0]).toBe(0o104700)
    expect(encodeStat(attr, 1, { umask: 0 }, 0o077)[0]).toBe(0o100700)
  })
})

it('a listed entry has its type and number', () => {
  const words = encodeListed(0o040755, 7)
  expect([words[0], words[7]]).toEqual([0o040755, 7])
})

describe('encodeStatvfs', () => {
  const decode = (totalBytes: number, files = 0) => {
    const [bsize, frsize, blocks, , , count, , , , , namemax] = encodeStatvfs({ totalBytes, files })
    return { bsize, frsize, blocks, count, namemax }
  }

  it('counts in 4 KiB as long as that fits', () => {
    expect(decode(4097, 5)).toEqual({ bsize: 4096, frsize: 4096, blocks: 2, count: 5, namemax: 255 })
  })

  it.each([4096 * U32 - 4097, 4096 * U32 - 1, 4096 * U32, 2 ** 53 - 1])('stays exact to a block for %d bytes', (total) => {
    const { frsize, blocks } = decode(total, 2 ** 40)
    expect(blocks! * frsize!).toBeGreaterThanOrEqual(total)
    expect(blocks! * frsize! - total).toBeLessThan(frsize!)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { viewOf } from '#src/bytes/le.js'
import { DirentPacker, forEachReferenced } from '#src/fuse/protocol/dirents.js'
import { parseDirents } from '../../support/fake-kernel.js'

describe('fuse_dirent', () => {
  it('is packed as the kernel reads it', () => {
    const bytes = Buffer.alloc(64, 0xaa)
    const packer = new DirentPacker()
    packer.begin(bytes, viewOf(bytes), 8, 40)
    expect(packer.add(Buffer.from('xabcx'), 1, 4, 0x80000001, 0x02, 8, 2 ** 33 + 3)).toBe(true)
    expect(packer.add(Buffer.from('d'), 0, 1, 0, 3, 8, 4)).toBe(false)
    expect(packer.used).toBe(32)
    expect(bytes.subarray(8, 40).toString('hex')).toBe(
      '0200000001000080' + // ino
        '0300000002000000' + // off
        '03000000' + // namelen
        '08000000' + // type
        '6162630000000000', // name, padding
    )
    expect(bytes[7]).toBe(0xaa)
    expect(bytes[40]).toBe(0xaa)
  })

  const records = fc.array(
    fc.record({
      name: fc.uint8Array({ minLength: 1, maxLength: 255 }),
      ino: fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
      known: fc.boolean(),
    }),
    { maxLength: 30 },
  )

  it('never goes beyond its limit and parses back', () => {
    fc.assert(
      fc.property(records, fc.nat(3000), fc.nat(40), fc.boolean(), (list, limit, start, plus) => {
        const bytes = Buffer.alloc(start + limit + 64, 0xaa)
        const view = viewOf(bytes)
        const packer = new DirentPacker()
        packer.begin(bytes, view, start, limit)
        let taken = 0
        for (const { name, ino, known } of list) {
          const hi = Number(ino >> 32n)
          const lo = Number(ino & 0xffffffffn)
          const cookie = taken + 1
          if (plus) {
            const at = packer.addPlus(name, 0, name.length, hi, lo, 4, cookie)
            if (at < 0) break
            bytes.fill(0, at, at + 128)
            if (known) bytes.writeBigUInt64LE(ino, at)
          } else if (!packer.add(name, 0, name.length, hi, lo, 4, cookie)) {
            break
          }
          taken++
        }
        expect(packer.used).toBeLessThanOrEqual(limit)
        expect(bytes.subarray(0, start).every((byte) => byte === 0xaa)).toBe(true)
        expect(bytes.subarray(start + packer.used).every((byte) => byte === 0xaa)).toBe(true)
        const parsed = parseDirents(bytes.subarray(start, start + packer.used), plus)
        expect(parsed.map(({ name, ino, off }) => ({ name, ino, off }))).toEqual(
          list.slice(0, taken).map(({ name, ino }, i) => ({ name: Buffer.from(name).toString('latin1'), ino, off: BigInt(i + 1) })),
        )
        // What did not fit really would not have fitted.
        const next = list[taken]
        if (next !== undefined) {
          const size = (((plus ? 152 : 24) + next.name.length + 7) >> 3) << 3
          expect(packer.used + size).toBeGreaterThan(limit)
        }
        if (plus) {
          const seen: bigint[] = []
          forEachReferenced(view, start, packer.used, (hi, lo) => seen.push((BigInt(hi) << 32n) | BigInt(lo)))
          expect(seen).toEqual(list.slice(0, taken).flatMap(({ ino, known }) => (known ? [ino] : [])))
        }
      }),
    )
  })
})

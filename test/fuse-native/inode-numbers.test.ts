import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InodeNumbers } from '#src/fuse-native/inode-numbers.js'

describe('InodeNumbers', () => {
  it('gives the root 1, and the same number for the same node', () => {
    const numbers = new InodeNumbers()
    expect(numbers.numberOf(0, 1)).toBe(1)
    const first = numbers.numberOf(0x8000_0001, 0xffff_ffff)
    expect(first).toBeGreaterThan(1)
    expect(numbers.numberOf(0x8000_0001, 0xffff_fffe)).not.toBe(first)
    expect(numbers.numberOf(0x8000_0002, 0xffff_ffff)).not.toBe(first)
    expect(numbers.numberOf(0x8000_0001, 0xffff_ffff)).toBe(first)
  })

  it('keeps the number of what was seen lately, and gives none twice', () => {
    const node = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 2, max: 12 }))
    fc.assert(
      fc.property(fc.array(node, { maxLength: 200 }), (nodes) => {
        const size = 5
        const numbers = new InodeNumbers(size)
        const owners = new Map<number, string>()
        const last = new Map<string, { number: number; at: number }>()
        nodes.forEach(([hi, lo], at) => {
          const key = `${hi}.${lo}`
          const number = numbers.numberOf(hi, lo)
          expect(owners.get(number) ?? key).toBe(key)
          owners.set(number, key)
          const before = last.get(key)
          if (before !== undefined && at - before.at <= size) expect(number).toBe(before.number)
          last.set(key, { number, at })
        })
      }),
    )
  })
})

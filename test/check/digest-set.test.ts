import fc from 'fast-check'
import { expect, test } from 'vitest'
import { DigestSet } from '#src/check/digest-set.js'

const digest = fc.oneof(
  fc.uint8Array({ minLength: 32, maxLength: 32 }),
  // Alike but for one byte, as somebody may write them.
  fc.tuple(fc.nat(31), fc.nat(3)).map(([at, value]) => new Uint8Array(32).fill(7).fill(value, at, at + 1)),
)

test('numbers digests in the order they come, each once, and finds them again', () => {
  fc.assert(
    fc.property(fc.array(digest, { maxLength: 300 }), digest, (all, other) => {
      const set = new DigestSet()
      const model = new Map<string, number>()
      for (const bytes of all) {
        const key = Buffer.from(bytes).toString('hex')
        if (!model.has(key)) model.set(key, model.size)
        expect(set.add(bytes)).toBe(model.get(key))
      }
      expect(set.size).toBe(model.size)
      for (const [key, id] of model) {
        expect(set.find(Buffer.from(key, 'hex'))).toBe(id)
        expect(Buffer.from(set.at(id)).toString('hex')).toBe(key)
      }
      expect(set.find(other)).toBe(model.get(Buffer.from(other).toString('hex')) ?? -1)
      expect([...set.inOrder()].map((id) => Buffer.from(set.at(id)).toString('hex'))).toEqual([...model.keys()].sort())
    }),
  )
})

test('grows past its first room', () => {
  const set = new DigestSet()
  const make = (i: number): Buffer => {
    const bytes = Buffer.alloc(32)
    bytes.writeUInt32LE(i, 28)
    return bytes
  }
  for (let i = 0; i < 20_000; i++) expect(set.add(make(i))).toBe(i)
  for (let i = 0; i < 20_000; i += 97) expect(set.find(make(i))).toBe(i)
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { removePadding } from '#src/keys/pkcs1.js'

const pad = (content: Uint8Array, filler = 8) => Buffer.concat([Buffer.from([0, 2]), Buffer.alloc(filler, 0x55), Buffer.from([0]), content])

/** The same, as one would write it who does not mind the time it takes. */
function removeNaively(block: Uint8Array): Uint8Array | undefined {
  const end = block.indexOf(0, 2)
  return block.length >= 11 && block[0] === 0 && block[1] === 2 && end >= 10 ? block.subarray(end + 1) : undefined
}

test('takes the padding off, and owns what is left', () => {
  const block = pad(Buffer.from('content'))
  const content = removePadding(block)!
  block.fill(0)
  expect(Buffer.from(content).toString()).toBe('content')
})

test.each<[string, Uint8Array]>([
  ['nothing', new Uint8Array(0)],
  ['too short', Buffer.from([0, 2, 1, 1, 1, 1, 1, 1, 1, 0])],
  ['seven bytes of padding', pad(Buffer.from('x'), 7)],
  ['no end', Buffer.concat([Buffer.from([0, 2]), Buffer.alloc(50, 1)])],
  ['type 1', Buffer.concat([Buffer.from([0, 1]), pad(Buffer.from('x')).subarray(2)])],
  ['a first byte', Buffer.concat([Buffer.from([1, 2]), pad(Buffer.from('x')).subarray(2)])],
])('refuses %s', (_, block) => {
  expect(removePadding(block)).toBeUndefined()
})

test('an empty content is one', () => {
  expect(removePadding(pad(new Uint8Array(0)))).toEqual(new Uint8Array(0))
})

test('any block: the same as the naive way', () => {
  const byte = fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 1, max: 255 }) }, { weight: 1, arbitrary: fc.constant(0) })
  const start = fc.constantFrom([0, 2], [0, 1], [1, 2], [2, 0], [])
  fc.assert(
    fc.property(start, fc.array(byte, { maxLength: 64 }), (head, rest) => {
      const block = Uint8Array.from([...head, ...rest])
      const naive = removeNaively(block)
      expect(removePadding(block)).toEqual(naive === undefined ? undefined : new Uint8Array(naive))
    }),
    { numRuns: 2000 },
  )
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { editDistance, nearestWord } from '#src/cli/suggest.js'

const words = ['mount', 'umount', 'status', 'cache-size']

test.each([['moutn', 'mount'], ['umuont', 'umount'], ['statsu', 'status'], ['cache-siz', 'cache-size'], ['cachesize', 'cache-size']])(
  '%s means %s',
  (word, meant) => expect(nearestWord(word, words)).toBe(meant),
) // prettier-ignore

test('what is far from all means nothing', () => {
  for (const word of ['x', 'frobnicate', 'zzzzz']) expect(nearestWord(word, words)).toBeUndefined()
})

test('a distance is 0 for the same, symmetric, and at most the longer length', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
      expect(editDistance(a, a)).toBe(0)
      expect(editDistance(a, b)).toBe(editDistance(b, a))
      expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length))
      if (a !== b) expect(editDistance(a, b)).toBeGreaterThan(0)
    }),
  )
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { UnsupportedError } from '#src/errors/errors.js'
import { archiveOf, checkArchiveSize, isDirectory, MAX_ARCHIVES, MAX_OFFSET, nodeHi, nodeLo, offsetOf } from '#src/tree/node-id.js'

test('archive, kind and offset come back from any node number, as two u32', () => {
  const place = fc.tuple(fc.nat(MAX_ARCHIVES), fc.boolean(), fc.integer({ min: 0, max: MAX_OFFSET }))
  fc.assert(
    fc.property(place, ([archive, directory, offset]) => {
      const id = { hi: nodeHi(archive, directory, offset), lo: nodeLo(offset) }
      expect(id.hi >>> 0).toBe(id.hi)
      expect([archiveOf(id.hi), isDirectory(id.hi), offsetOf(id)]).toEqual([archive, directory, offset])
    }),
  )
})

test('an archive whose offsets do not fit is refused', () => {
  expect(() => checkArchiveSize('a', MAX_OFFSET)).not.toThrow()
  expect(() => checkArchiveSize('a', MAX_OFFSET + 1)).toThrow(UnsupportedError)
})

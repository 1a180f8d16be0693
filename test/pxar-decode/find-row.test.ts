import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FormatError } from '#src/errors/errors.js'
import { PxarArchive } from '#src/pxar-decode/archive.js'
import { findRow } from '#src/pxar-decode/find-row.js'
import { readTail } from '#src/pxar-decode/goodbye.js'
import { MemoryStream } from '../support/memory-stream.js'
import { bytes, dir, encodeArchive, file, sipHash, type SourceNode } from '../support/pxar-encoder.js'

async function openTable(children: readonly SourceNode[], options = {}) {
  const { meta, places } = encodeArchive(dir('', children))
  const archive = await PxarArchive.open({ meta: new MemoryStream(meta, options) })
  const span = await readTail(archive, archive.rootEnd)
  return { places, find: (name: string) => findRow(archive, span, bytes(name)) }
}

describe('findRow', () => {
  it('finds every name, and no other, in tables of any size', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 70 }), fc.boolean(), async (count, peeks) => {
        const children = Array.from({ length: count }, (_, i) => file(`name${i}`, 'x'))
        const { places, find } = await openTable(children, { peeks })
        for (const [node, place] of places) expect(await find(Buffer.from(node.name).toString())).toMatchObject({ fileOfs: place })
        for (const missing of ['', 'name', 'other', 'name0x']) expect(await find(missing)).toBeUndefined()
      }),
      { numRuns: 40 },
    )
  })

  it('finds a name among equal hashes, on both sides of the tree', async () => {
    // All rows claim the hash of the wanted name, as names made to collide would.
    const hash = sipHash(bytes('wanted'))
    for (let at = 0; at < 7; at++) {
      const children = Array.from({ length: 7 }, (_, i) => file(i === at ? 'wanted' : `other${i}`, '', { bend: { hash } }))
      const { places, find } = await openTable(children)
      expect(await find('wanted')).toMatchObject({ fileOfs: places.get(children[at]!) })
    }
  })

  it('gives up on a table of one hash', async () => {
    const hash = sipHash(bytes('wanted'))
    const { find } = await openTable(Array.from({ length: 500 }, (_, i) => file(`other${i}`, '', { bend: { hash } })))
    await expect(find('wanted')).rejects.toThrow(/more than 64 rows of one hash/)
  })

  it('a row that points outside its directory', async () => {
    for (const distance of [0n, 5000n, 2n ** 64n - 1n]) {
      const { find } = await openTable([file('wanted', '', { bend: { distance } })])
      await expect(find('wanted')).rejects.toThrow(FormatError)
    }
  })
})

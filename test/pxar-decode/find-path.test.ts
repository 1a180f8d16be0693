import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FormatError } from '#src/errors/errors.js'
import { PxarArchive } from '#src/pxar-decode/archive.js'
import { KIND_DIR } from '#src/pxar-decode/entry-record.js'
import { findPath } from '#src/pxar-decode/find-path.js'
import { MemoryStream } from '../support/memory-stream.js'
import { dir, encodeArchive, file, hardlink } from '../support/pxar-encoder.js'
import { anyTree } from '../support/pxar-trees.js'
import { walkArchive } from '../support/pxar-walk.js'

const open = (meta: Buffer, payload?: Buffer) =>
  PxarArchive.open({ meta: new MemoryStream(meta), ...(payload === undefined ? {} : { payload: new MemoryStream(payload) }) })

const text = (names: readonly Uint8Array[]) => names.map((name) => `/${Buffer.from(name).toString('latin1')}`).join('')

test('every entry of any archive is found under its path', async () => {
  await fc.assert(
    fc.asyncProperty(anyTree, fc.boolean(), async (root, split) => {
      const { meta, payload } = encodeArchive(root, { split })
      const archive = await open(meta, payload)
      for (const { path, record, linked } of await walkArchive(archive)) {
        if (linked) continue
        const directory = record.kind === KIND_DIR
        const found = await findPath(archive, directory ? record.end : record.fileOfs, directory)
        expect([text(found.names), found.complete]).toEqual([path, true])
      }
    }),
    { numRuns: 60 },
  )
})

test('a hard link counts under the name of its target', async () => {
  const a = file('a', '1')
  const { meta, places } = encodeArchive(dir('', [dir('in', [a]), hardlink('b', a, 'in/a')]))
  expect(text((await findPath(await open(meta), places.get(a)!, false)).names)).toBe('/in/a')
})

test('a place that is none, and a directory that cannot be read, give the way as far as it is known', async () => {
  const a = file('a', '1')
  const { meta, places } = encodeArchive(dir('', [dir('out', [dir('in', [a])])]))
  const archive = await open(meta)
  expect(await findPath(archive, places.get(a)! + 1, false)).toMatchObject({ complete: false })
  const openDir = async (end: number) => {
    if (end !== archive.rootEnd) throw new FormatError('damaged')
    return archive.openDir(end)
  }
  const found = await findPath(archive, places.get(a)!, false, openDir)
  expect([text(found.names), found.complete]).toEqual(['/out', false])
})

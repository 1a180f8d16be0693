import { expect, test } from 'vitest'
import { PxarArchive } from '#src/pxar-decode/archive.js'
import { createRecord } from '#src/pxar-decode/entry-record.js'
import { MemoryStream } from '../support/memory-stream.js'
import { dir, encodeArchive, file, hardlink, symlink, type SourceNode } from '../support/pxar-encoder.js'

const first = file('a', 'one')
const second = file('c', 'two')
const third = file('e', 'three')
const inner = file('x', 'inside')
const last = file('z', 'last')
const TREE = dir('', [first, symlink('b', 'a'), second, hardlink('d', first, 'a'), third, dir('m', [inner]), last])

test.each([true, false])('files follow one another in their directory, whatever lies between (split: %s)', async (split) => {
  const { meta, payload, places } = encodeArchive(TREE, { split })
  const archive = await PxarArchive.open({
    meta: new MemoryStream(meta),
    ...(payload === undefined ? {} : { payload: new MemoryStream(payload) }),
  })
  const record = createRecord()
  const next = (node: SourceNode): number | undefined =>
    archive.peekNextFile(places.get(node)!, record) ? record.fileOfs : undefined
  expect(next(first)).toBe(places.get(second))
  expect(next(second)).toBe(places.get(third))
  // A directory follows, with files of its own.
  expect(next(third)).toBeUndefined()
  expect(next(inner)).toBeUndefined()
  expect(next(last)).toBeUndefined()
})

test('what is not in memory is not read', async () => {
  const { meta, payload, places } = encodeArchive(TREE, { split: true })
  const stream = new MemoryStream(meta, { peeks: false })
  const archive = await PxarArchive.open({ meta: stream, payload: new MemoryStream(payload!) })
  const before = stream.reads.length
  expect(archive.peekNextFile(places.get(first)!, createRecord())).toBe(false)
  expect(stream.reads.length).toBe(before)
})

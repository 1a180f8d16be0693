import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ChunkUnavailableError, isPbsfsError } from '#src/errors/errors.js'
import { PxarArchive } from '#src/pxar-decode/archive.js'
import type { DirTable } from '#src/pxar-decode/dir-table.js'
import { createRecord, KIND_DIR, type EntryRecord } from '#src/pxar-decode/entry-record.js'
import { noise } from '../support/chunk-rig.js'
import { MemoryStream, type MemoryStreamOptions } from '../support/memory-stream.js'
import { bytes, dir, encodeArchive, file, hardlink, sipHash, symlink, type SourceNode } from '../support/pxar-encoder.js'
import { anyName, anyTree } from '../support/pxar-trees.js'

const openMeta = (meta: Uint8Array, options: MemoryStreamOptions = {}): Promise<PxarArchive> =>
  PxarArchive.open({ meta: new MemoryStream(meta, options) })

/** Name, place and attributes: all that a caller sees. A name is not part of the record of a hard link's target. */
function told(record: EntryRecord): Partial<EntryRecord> {
  const { nameStart: _start, nameEnd: _end, ...rest } = record
  return rest
}

function listed(table: DirTable, i: number): Partial<EntryRecord> {
  const record = createRecord()
  table.entryAt(i, record)
  return told(record)
}

/** A name that damage has made another's: the listing shows the first of the two, hashes tell the right one. */
function hasTwice(table: DirTable): boolean {
  return table.problems.some(({ error }) => error.message.includes('a second entry of the same name'))
}

/**
 * Looks for `more` and for every name that is listed, in all directories; returns how many were found. `damaged`: what is
 * found must be right, but not all has to be.
 */
async function compare(archive: PxarArchive, more: readonly Uint8Array[], damaged = false): Promise<number> {
  let found = 0
  const visit = async (end: number): Promise<void> => {
    let table: DirTable
    try {
      table = await archive.openDir(end)
    } catch (error) {
      if (!damaged || !isPbsfsError(error)) throw error
      return
    }
    const rows = await archive.openRows(end)
    if (!damaged) expect(rows).toBeDefined()
    const names = [...more, ...Array.from({ length: table.count }, (_, i) => table.nameAt(i))]
    for (const name of rows === undefined || hasTwice(table) ? [] : names) {
      const record = await archive.findEntry(rows!, name)
      const i = table.find(name)
      if (i < 0) expect(record).toBeUndefined()
      else if (!damaged) expect(record).toBeDefined()
      if (record === undefined) continue
      expect(told(record)).toEqual(listed(table, i))
      found++
    }
    for (let i = 0; i < table.count; i++) if (table.kindAt(i) === KIND_DIR) await visit(table.dirEndAt(i))
  }
  await visit(archive.rootEnd)
  return found
}

test('in any archive every name is found with what the listing tells of it, and no other name', async () => {
  await fc.assert(
    fc.asyncProperty(anyTree, fc.array(anyName, { maxLength: 3 }), fc.boolean(), async (tree, names, peeks) => {
      await compare(await openMeta(encodeArchive(tree).meta, { peeks }), names)
    }),
    { numRuns: 60 },
  )
})

test('in a damaged archive nothing is found that is not listed, or is listed otherwise', async () => {
  const target = file('a', 'first')
  const tree = dir('', [target, dir('b', [file('x', noise(80, 1)), symlink('y', 'x'), hardlink('z', target, 'a')]), hardlink('c', target, 'a'), file('d', noise(50, 2))])
  const names = 'abcdxyz'.split('').map(bytes)
  const { meta } = encodeArchive(tree)
  let found = 0
  for (let at = 0; at < meta.length; at++) {
    for (const bit of [0, 6]) {
      const changed = Buffer.from(meta)
      changed[at]! ^= 1 << bit
      const archive = await openMeta(changed).catch((error: unknown) => {
        if (!isPbsfsError(error)) throw error
      })
      if (archive !== undefined) found += await compare(archive, names, true)
    }
  }
  expect(found).toBeGreaterThan(500)
})

test('neither contents nor other entries are read', async () => {
  const children = Array.from({ length: 40 }, (_, i) => file(`file${i}`, noise(3000, i)))
  const { meta, places } = encodeArchive(dir('', children))
  const stream = new MemoryStream(meta, { peeks: false })
  const archive = await PxarArchive.open({ meta: stream })
  const rows = (await archive.openRows(archive.rootEnd))!
  stream.reads.length = 0
  expect((await archive.findEntry(rows, bytes('file17')))!.fileOfs).toBe(places.get(children[17]!))
  const place = places.get(children[17]!)!
  const { start } = rows.span
  expect(stream.reads.filter(({ offset }) => offset < start).map(({ offset }) => offset)).toEqual([place, place])
  expect(stream.reads.every(({ length }) => length <= 512)).toBe(true)
})

const ok = [file('a', 'first'), file('z', 'last')]
/** From the table to an empty file in front of it: FILENAME of one letter, ENTRY, PAYLOAD. */
const DISTANCE_OF_LAST = 18n + 56n + 16n
const wanted = (bend: object): SourceNode => file('m', 'content', { bend })

test.each<[string, SourceNode[]]>([
  ['two rows lead to one place', [wanted({}), file('n', '', { bend: { distance: DISTANCE_OF_LAST } }), file('z', '')]],
  ['a row leads into another entry', [file('m', noise(400, 1)), wanted({ distance: 300n }), ...ok]],
  ['a row leads in front of its directory', [...ok, wanted({ distance: 2n ** 40n })]],
  ['an extent reaches into the next entry', [wanted({ extent: 150n }), ...ok]],
  ['an extent is nothing', [wanted({ extent: 0n }), ...ok]],
  ['an extent is above all numbers', [...ok, wanted({ extent: 2n ** 64n - 1n })]],
])('where %s the directory has to be decoded', async (_, children) => {
  const archive = await openMeta(encodeArchive(dir('', children)).meta)
  expect(await archive.openRows(archive.rootEnd)).toBeUndefined()
})

test('a row whose hash, entry or name is wrong hides nothing: the directory has to be asked', async () => {
  const nodes: SourceNode[] = [
    wanted({ hash: 1n }),
    wanted({ extent: 70n }),
    wanted({ mode: 0n }),
    wanted({ after: Buffer.alloc(20) }),
    hardlink('m', ok[0]!, 'a', { delta: 17n }),
  ]
  for (const node of nodes) {
    const archive = await openMeta(encodeArchive(dir('', [...ok, node])).meta)
    const rows = await archive.openRows(archive.rootEnd)
    expect(rows === undefined ? undefined : await archive.findEntry(rows, bytes('m'))).toBeUndefined()
  }
})

test('of two entries of one name none is chosen', async () => {
  const archive = await openMeta(encodeArchive(dir('', [...ok, file('m', 'one'), file('m', 'other'), file('n', '')])).meta)
  const rows = (await archive.openRows(archive.rootEnd))!
  expect(await archive.findEntry(rows, bytes('m'))).toBeUndefined()
  expect(await archive.findEntry(rows, bytes('n'))).toBeDefined()
})

test('among names of one hash the right one is found', async () => {
  const hash = sipHash(bytes('m'))
  const children = ['k', 'l', 'm', 'n'].map((name) => file(name, name, { bend: { hash } }))
  const { meta, places } = encodeArchive(dir('', children))
  const archive = await openMeta(meta)
  const rows = (await archive.openRows(archive.rootEnd))!
  expect((await archive.findEntry(rows, bytes('m')))!.fileOfs).toBe(places.get(children[2]!))
})

test('what cannot be read is not missing', async () => {
  const { meta, places } = encodeArchive(dir('', [...ok, file('m', noise(5000, 1))]))
  const from = places.get(ok[1]!)!
  const archive = await openMeta(meta, {
    peeks: false,
    onRead: (offset, length) => {
      if (offset <= from && offset + length > from && offset > 100) throw new ChunkUnavailableError('missing')
    },
  })
  const rows = (await archive.openRows(archive.rootEnd))!
  await expect(archive.findEntry(rows, bytes('z'))).rejects.toThrow('missing')
  expect(await archive.findEntry(rows, bytes('m'))).toBeDefined()
})

test('a table that is damaged itself is an error, and a split archive has no use for this', async () => {
  const { meta, payload } = encodeArchive(dir('', ok), { split: true })
  const split = await PxarArchive.open({ meta: new MemoryStream(meta), payload: new MemoryStream(payload!) })
  expect(await split.openRows(split.rootEnd)).toBeUndefined()
  const classic = encodeArchive(dir('', ok)).meta
  const archive = await openMeta(classic)
  classic.fill(0, classic.length - 24, classic.length - 16)
  await expect(archive.openRows(archive.rootEnd)).rejects.toThrow('the tail marker is missing')
})

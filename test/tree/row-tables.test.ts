import { expect, test } from 'vitest'
import { createRecord } from '#src/pxar-decode/entry-record.js'
import { countLinks } from '#src/pxar-decode/link-counts.js'
import type { ArchiveNodes } from '#src/tree/archive.js'
import { ArchiveSet } from '#src/tree/archive-set.js'
import { offsetOf } from '#src/tree/node-id.js'
import { ROOT, type Entry } from '#src/tree/tree.js'
import { noise } from '../support/chunk-rig.js'
import { MemoryStream } from '../support/memory-stream.js'
import { bytes, dir, encodeArchive, file, hardlink, symlink, type SourceNode } from '../support/pxar-encoder.js'

const MiB = 1024 * 1024

async function open(children: readonly SourceNode[]) {
  const { meta, places } = encodeArchive(dir('', children))
  const stream = new MemoryStream(meta, { peeks: false })
  const openStreams = () => ({ meta: stream })
  const nodes = await new ArchiveSet(() => undefined).open({ key: 'a', name: 'a', openStreams, countLinks: (pxar, signal) => countLinks(pxar, { signal }) }, ROOT)
  await nodes.links.wait()
  stream.reads.length = 0
  const lookup = (name: string, end = nodes.pxar.rootEnd): Promise<Entry | undefined> => Promise.resolve(nodes.lookup(end, bytes(name)))
  /** FILENAME headers that were read. */
  const touched = (): SourceNode[] =>
    [...places].filter(([, place]) => stream.reads.some(({ offset, length }) => offset <= place && offset + length >= place + 16)).map(([node]) => node)
  return { nodes, lookup, touched }
}

async function listedAs(nodes: ArchiveNodes, name: string): Promise<Entry | undefined> {
  let found: Entry | undefined
  const add = (names: Uint8Array, start: number, end: number, _cookie: number, entry: Entry): boolean => {
    if (Buffer.from(names.subarray(start, end)).toString('latin1') === name) found = structuredClone(entry)
    return true
  }
  await nodes.list(nodes.pxar.rootEnd, ROOT, ROOT, 0, { add })
  return found
}

const first = file('a', noise(MiB, 1))
const folder = dir('f', [file('inner', 'x')])
const LARGE = [first, file('b', noise(MiB, 2)), file('c', noise(MiB, 3)), folder, hardlink('h', first, 'a'), symlink('l', 'a')]

test.each(['b', 'f', 'h', 'l'])('%s in a large directory is found without reading what is beside it', async (name) => {
  const { nodes, lookup, touched } = await open(LARGE)
  const entry = await lookup(name)
  expect(touched()).not.toContain(LARGE[2])
  expect(entry).toBeDefined()
  expect(entry).toEqual(await listedAs(nodes, name))
})

test('names below are found too, and the way up is known', async () => {
  const { nodes, lookup } = await open(LARGE)
  const below = (await lookup('f'))!
  const end = offsetOf({ hi: below.idHi, lo: below.idLo })
  expect((await lookup('inner', end))!.attr.size).toBe(1)
  expect(nodes.parentOf(end)).toBe(nodes.pxar.rootEnd)
})

test('a name that is not found by its hash is looked for in the whole directory', async () => {
  const wrong = file('d', 'x', { bend: { hash: 5n } })
  const { lookup, touched } = await open([...LARGE.slice(0, 3), wrong])
  expect((await lookup('d'))!.attr.size).toBe(1)
  expect(touched()).toContain(LARGE[2])
  expect(await lookup('missing')).toBeUndefined()
})

test('an entry that is not listed is not found', async () => {
  const { nodes, lookup } = await open([...LARGE.slice(0, 3), file('d', 'x', { bend: { extent: 80n } })])
  expect(await listedAs(nodes, 'd')).toBeUndefined()
  const fresh = await open([...LARGE.slice(0, 3), file('d', 'x', { bend: { extent: 80n } })])
  expect(await fresh.lookup('d')).toBeUndefined()
  expect(await lookup('d')).toBeUndefined()
})

test('a small directory is decoded at once, one that was listed is asked', async () => {
  const small = await open([file('a', 'x'), file('b', 'y')])
  await small.lookup('a')
  expect(small.touched()).toHaveLength(2)
  const large = await open(LARGE)
  await listedAs(large.nodes, 'a')
  const seen = large.touched().length
  expect((await large.lookup('c'))!.attr.size).toBe(MiB)
  expect(large.touched()).toHaveLength(seen)
  expect(large.nodes.pxar.peekEntry(0, createRecord())).toBe(false)
})

test('questions for attributes pay for a pass that spares the others, in a classic archive', async () => {
  const { nodes } = await open(LARGE)
  let questions = 0
  for (; !nodes.isPlain && questions < 1000; questions++) await new Promise((resolve) => setImmediate(resolve))
  // 64 KiB each of about 3 MiB.
  expect(questions).toBeGreaterThan(8)
  expect(questions).toBeLessThan(200)
  const other = await open([...LARGE.slice(0, 3), file('x', '', { xattrs: [['user.a', bytes('b')]] })])
  for (let i = 0; i < 300; i++) {
    expect(other.nodes.isPlain).toBe(false)
    await new Promise((resolve) => setImmediate(resolve))
  }
})

import { expect, test } from 'vitest'
import type { ReadAt } from '#src/bytes/read-at.js'
import { countLinks } from '#src/pxar-decode/link-counts.js'
import type { ArchiveNodes } from '#src/tree/archive.js'
import { ArchiveSet } from '#src/tree/archive-set.js'
import { isDirectory, offsetOf } from '#src/tree/node-id.js'
import { FOREVER, ROOT, type DirSink, type Entry, type NodeId } from '#src/tree/tree.js'
import { MemoryStream } from '../support/memory-stream.js'
import { dir, encodeArchive, file, hardlink, symlink, type SourceDir } from '../support/pxar-encoder.js'

const SELF: NodeId = { hi: 0, lo: 77 }

async function open(root: SourceDir, wrap: (stream: ReadAt) => ReadAt = (stream) => stream): Promise<ArchiveNodes> {
  const { meta, payload } = encodeArchive(root, { split: true })
  const problems: unknown[] = []
  const set = new ArchiveSet((error) => problems.push(error))
  return set.open(
    {
      key: 'a',
      name: 'a',
      openStreams: () => ({ meta: new MemoryStream(meta), payload: wrap(new MemoryStream(payload!)) }),
      countLinks: (pxar, signal) => countLinks(pxar, { signal }),
    },
    ROOT,
  )
}

interface Listed {
  name: string
  cookie: number
  entry: Entry
}

/** Lists in replies of at most `room` records, as the kernel does. */
async function list(nodes: ArchiveNodes, end: number, room: number): Promise<Listed[]> {
  const all: Listed[] = []
  for (;;) {
    let left = room
    const before = all.length
    const sink: DirSink = {
      add: (name, start, stop, cookie, entry) => {
        if (left-- === 0) return false
        all.push({ name: Buffer.from(name).toString('latin1', start, stop), cookie, entry: structuredClone(entry) })
        return true
      },
    }
    await nodes.list(end, SELF, ROOT, all.at(-1)?.cookie ?? 0, sink)
    if (all.length === before) return all
  }
}

const name = (text: string): Buffer => Buffer.from(text, 'latin1')
const first = file('a', 'hello')
const TREE = dir('', [first, dir('b', [hardlink('again', first, 'a'), file('own', 'x')]), symlink('c', 'a'), file('d\xff', '')])

test('a listing is the same in replies of any size, dots first', async () => {
  const nodes = await open(TREE)
  const whole = await list(nodes, nodes.pxar.rootEnd, 100)
  expect(whole.map((entry) => entry.name)).toEqual(['.', '..', 'a', 'b', 'c', 'd\xff'])
  expect(whole.slice(0, 2).map(({ entry }) => [entry.idLo, entry.attr.inoLo])).toEqual([[0, 77], [0, 1]])
  for (const room of [1, 2, 3]) expect(await list(nodes, nodes.pxar.rootEnd, room)).toEqual(whole)
})

test('all names of a file are one node with one inode number and the true link count', async () => {
  const nodes = await open(TREE)
  const original = (await nodes.lookup(nodes.pxar.rootEnd, name('a')))!
  const folder = (await nodes.lookup(nodes.pxar.rootEnd, name('b')))!
  const id = { hi: folder.idHi, lo: folder.idLo }
  expect(isDirectory(id.hi)).toBe(true)
  const linked = (await nodes.lookup(offsetOf(id), name('again')))!
  const own = (await nodes.lookup(offsetOf(id), name('own')))!
  expect([linked.idHi, linked.idLo, linked.attr]).toEqual([original.idHi, original.idLo, original.attr])
  expect([linked.attr.nlink, own.attr.nlink, linked.attr.ttl]).toEqual([2, 1, FOREVER])
  expect(own.attr.inoLo).not.toBe(linked.attr.inoLo)
  expect(nodes.parentOf(offsetOf(id))).toBe(nodes.pxar.rootEnd)
})

test('a node number is all that is needed to find its attributes and content again', async () => {
  const nodes = await open(TREE)
  const entry = (await nodes.lookup(nodes.pxar.rootEnd, name('a')))!
  const id = { hi: entry.idHi, lo: entry.idLo }
  expect(await nodes.getattr(id)).toEqual(entry.attr)
  const { stream, start, size } = await nodes.content(id)
  expect(Buffer.from(await stream.read(start, size)).toString()).toBe('hello')
  const link = (await nodes.lookup(nodes.pxar.rootEnd, name('c')))!
  expect(Buffer.from(await nodes.readlink({ hi: link.idHi, lo: link.idLo })).toString()).toBe('a')
  await expect(async () => nodes.readlink(id)).rejects.toThrow()
})

test('names are bytes, and one that is missing is not found', async () => {
  const nodes = await open(TREE)
  expect(await nodes.lookup(nodes.pxar.rootEnd, name('d\xff'))).toBeDefined()
  expect(await nodes.lookup(nodes.pxar.rootEnd, Buffer.from('d\xff', 'utf8'))).toBeUndefined()
})

test('st_blocks leaves out what the payload stream knows to be a hole', async () => {
  const MiB = 1024 * 1024
  const root = dir('', [file('big', Buffer.alloc(4 * MiB, 1)), file('small', 'x')])
  const withHole = (stream: ReadAt): ReadAt => ({
    name: stream.name,
    size: stream.size,
    peek: (offset, length) => stream.peek(offset, length),
    read: (offset, length) => stream.read(offset, length),
    nextData: (offset) => (offset >= MiB && offset < 3 * MiB ? 3 * MiB : offset),
    nextHole: (offset) => (offset < MiB ? MiB : offset < 3 * MiB ? offset : stream.size),
  })
  const nodes = await open(root, withHole)
  const big = (await nodes.lookup(nodes.pxar.rootEnd, name('big')))!
  expect(big.attr.blocks).toBe((2 * MiB) / 512)
  expect((await nodes.getattr({ hi: big.idHi, lo: big.idLo })).blocks).toBe((2 * MiB) / 512)
  expect((await nodes.lookup(nodes.pxar.rootEnd, name('small')))!.attr.blocks).toBe(1)
})

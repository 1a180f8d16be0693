import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ChunkUnavailableError } from '#src/errors/errors.js'
import { countLinks } from '#src/pxar-decode/link-counts.js'
import type { ReadAt } from '#src/bytes/read-at.js'
import type { ArchiveNodes } from '#src/tree/archive.js'
import { ArchiveSet } from '#src/tree/archive-set.js'
import { isDirectory, nodeHi, nodeLo, offsetOf } from '#src/tree/node-id.js'
import { FILE_RUN_FIELDS, ROOT, type DirFiles, type DirSink, type FileRun, type NodeId } from '#src/tree/tree.js'
import { MemoryStream } from '../support/memory-stream.js'
import { dir, encodeArchive, file, hardlink, symlink, type SourceDir, type SourceNode } from '../support/pxar-encoder.js'

interface Opened {
  readonly nodes: ArchiveNodes
  /** Node of a file of the source. */
  readonly idOf: (node: SourceNode) => NodeId
}

async function open(root: SourceDir, split: boolean, wrap: (stream: ReadAt) => ReadAt = (stream) => stream): Promise<Opened> {
  const { meta, payload, places } = encodeArchive(root, { split })
  const streams = { meta: new MemoryStream(meta), ...(payload === undefined ? {} : { payload: wrap(new MemoryStream(payload)) }) }
  const set = new ArchiveSet(() => undefined)
  const nodes = await set.open({ key: 'a', name: 'a', openStreams: () => streams, countLinks: (pxar, signal) => countLinks(pxar, { signal }) }, ROOT)
  const idOf = (node: SourceNode): NodeId => ({ hi: nodeHi(nodes.number, false, places.get(node)!), lo: nodeLo(places.get(node)!) })
  return { nodes, idOf }
}

/** All files of the directory, loading what has to be. */
async function runAll(files: DirFiles, from = 0): Promise<{ ids: number[]; contents: string[] }> {
  const ids: number[] = []
  const contents: string[] = []
  for (let at = from; ; ) {
    const run: FileRun = files.run(at, Infinity)
    for (let i = 0; i < run.files.length; i += FILE_RUN_FIELDS) {
      ids.push(offsetOf({ hi: run.files[i]!, lo: run.files[i + 1]! }))
      contents.push(Buffer.from(await run.stream!.read(run.files[i + 2]!, run.files[i + 3]!)).toString())
      expect(files.indexOf({ hi: run.files[i]!, lo: run.files[i + 1]! })).toBe(run.files[i + 4])
    }
    if (run.loading === undefined) return { ids, contents }
    await run.loading
    at = run.end
  }
}

/** Lists every directory. */
async function listAll(nodes: ArchiveNodes): Promise<void> {
  const ends = [nodes.pxar.rootEnd]
  for (const end of ends) {
    const add: DirSink['add'] = (_name, _start, _end, _cookie, { idHi, idLo }) => {
      if (idLo !== 0 && isDirectory(idHi)) ends.push(offsetOf({ hi: idHi, lo: idLo }))
      return true
    }
    await nodes.list(end, ROOT, ROOT, 0, { add })
  }
}

const own = file('a', 'first')
const deep = file('x', 'deep')
const below = dir('b', [hardlink('again', own, 'a'), deep, dir('c', [file('y', 'deeper')]), file('z', 'behind')])
const last = file('d', 'last')
const TREE = dir('', [own, below, symlink('c', 'a'), hardlink('e', own, 'a'), last])

for (const split of [true, false]) {
  const kind = split ? 'split' : 'classic'
  test(`the files of a directory come in the order of the archive, without other names and kinds (${kind})`, async () => {
    const { nodes, idOf } = await open(TREE, split)
    if (!split) await listAll(nodes)
    const files = (await nodes.filesBeside(offsetOf(idOf(last))))!
    expect(await runAll(files)).toEqual({ ids: [own, last].map((node) => offsetOf(idOf(node))), contents: ['first', 'last'] })
    expect([own, last, deep].map((node) => files.indexOf(idOf(node)))).toEqual([0, 4, -1])
    const inner = (await nodes.filesBeside(offsetOf(idOf(deep))))!
    expect((await runAll(inner)).contents).toEqual(['deep', 'behind'])
    expect(inner.key).not.toBe(files.key)
    expect((await runAll(inner, inner.indexOf(idOf(deep)) + 1)).contents).toEqual(['behind'])
  })
}

test('in a classic archive no directory is decoded to find what is beside a file, those that were listed are known', async () => {
  const { nodes, idOf } = await open(TREE, false)
  const root = nodes.pxar.rootEnd
  expect(await nodes.filesBeside(offsetOf(idOf(last)))).toBeUndefined()
  await nodes.list(root, ROOT, ROOT, 0, { add: () => true })
  expect((await runAll((await nodes.filesBeside(offsetOf(idOf(last))))!)).contents).toEqual(['first', 'last'])
  expect(await nodes.filesBeside(offsetOf(idOf(deep)))).toBeUndefined()
})

test('an offset where no file starts is in no directory', async () => {
  const { nodes, idOf } = await open(TREE, true)
  expect(await nodes.filesBeside(offsetOf(idOf(deep)) + 1)).toBeUndefined()
  expect(await nodes.filesBeside(2 ** 40)).toBeUndefined()
})

test('a directory that is not decoded is not known, one that was listed is', async () => {
  const { nodes } = await open(TREE, true)
  expect(nodes.filesIn(nodes.pxar.rootEnd)).toBeUndefined()
  await nodes.lookup(nodes.pxar.rootEnd, Buffer.from('a'))
  expect(await runAll(nodes.filesIn(nodes.pxar.rootEnd)!)).toMatchObject({ contents: ['first', 'last'] })
})

test('a run ends where a content has to be loaded, and says when to come back', async () => {
  const cold = new Set<number>()
  const { nodes, idOf } = await open(TREE, true, (stream) => ({
    name: stream.name,
    size: stream.size,
    peek: (offset, length) => (cold.has(offset) ? stream.peek(offset, length) : undefined),
    read: (offset, length) => {
      cold.add(offset)
      return stream.read(offset, length)
    },
  }))
  const files = (await nodes.filesBeside(offsetOf(idOf(last))))!
  const first = files.run(0, 10)
  expect([first.files.length, first.end]).toEqual([0, 0])
  expect(first.loading).toBeInstanceOf(Promise)
  expect((await runAll(files)).contents).toEqual(['first', 'last'])
})

test('who waits for contents that are lost is told so once, and not sent back for ever', async () => {
  const lost = Promise.reject(new ChunkUnavailableError('lost', {}))
  lost.catch(() => undefined)
  const { nodes, idOf } = await open(TREE, true, (stream) => ({
    name: stream.name,
    size: stream.size,
    peek: (offset, length) => (offset === 0 ? stream.peek(offset, length) : undefined),
    read: () => lost,
  }))
  const files = (await nodes.filesBeside(offsetOf(idOf(last))))!
  await expect(runAll(files)).rejects.toThrow('header is lost')
})

test('damaged files and those that lie in other pieces of memory keep nobody from the rest', async () => {
  const children = Array.from({ length: 40 }, (_, i) => file(`f${String(i).padStart(2, '0')}`, `content ${i}`))
  const root = dir('', children)
  const { payload } = encodeArchive(root, { split: true })
  let at = -1
  const starts = children.map((_, i) => (at = payload!.indexOf(`content ${i}`, at + 1)))
  const damaged = [3, 7, 39]
  const borders = [starts[5]! - 16, starts[12]! - 3, starts[20]!, starts[30]! + 4]
  const { nodes, idOf } = await open(root, true, (stream) => {
    const bytes = stream.peek(0, stream.size)!.slice()
    for (const i of damaged) bytes[starts[i]! - 16]! ^= 1
    return new MemoryStream(bytes, { borders })
  })
  const { contents } = await runAll((await nodes.filesBeside(offsetOf(idOf(children[1]!))))!)
  expect(contents).toEqual(children.flatMap((_, i) => (damaged.includes(i) ? [] : [`content ${i}`])))
})

test('in any tree every file is found beside its siblings', async () => {
  const shape = fc.array(fc.oneof(fc.constant('file'), fc.constant('link'), fc.array(fc.constantFrom('file', 'link'), { maxLength: 4 })), { maxLength: 12 })
  await fc.assert(
    fc.asyncProperty(shape, async (parts) => {
      const target = file('0', 'target')
      const make = (what: string, i: number): SourceNode => (what === 'file' ? file(`f${i}`, `${i}`) : hardlink(`f${i}`, target, '0'))
      const children = parts.map((part, i) => (typeof part === 'string' ? make(part, i) : dir(`f${i}`, part.map(make))))
      const { nodes, idOf } = await open(dir('', [target, ...children]), true)
      const folders = [[target, ...children], ...children.flatMap((child) => (child.kind === 'dir' ? [child.children] : []))]
      for (const folder of folders) {
        const expected = folder.filter(({ kind }) => kind === 'file').map((node) => offsetOf(idOf(node)))
        for (const offset of expected) expect((await runAll((await nodes.filesBeside(offset))!)).ids).toEqual(expected)
      }
    }),
    { numRuns: 60 },
  )
})

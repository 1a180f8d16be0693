import { describe, expect, it } from 'vitest'
import { AbortedError, FormatError, TruncatedError } from '#src/errors/errors.js'
import { PxarArchive } from '#src/pxar-decode/archive.js'
import { Catalog } from '#src/pxar-decode/catalog.js'
import { countLinks, countLinksByCatalog } from '#src/pxar-decode/link-counts.js'
import { encodeCatalog } from '../support/catalog-encoder.js'
import { MemoryStream } from '../support/memory-stream.js'
import { TYPE, dir, encodeArchive, file, hardlink, item } from '../support/pxar-encoder.js'

const a = file('a', 'one')
const b = file('b', Buffer.alloc(300_000, 1))
const c = file('c', 'alone')
const root = dir('', [dir('d', [a, b, c]), dir('e', [dir('f', [hardlink('1', a, 'd/a'), hardlink('2', a, 'd/a')]), file('big', Buffer.alloc(500_000, 2))]), hardlink('g', b, 'd/b')])
const encoded = { classic: encodeArchive(root), split: encodeArchive(root, { split: true, prelude: Buffer.from('{}') }) }
const openWith = (meta: Buffer, options = {}): Promise<PxarArchive> => PxarArchive.open({ meta: new MemoryStream(meta, options) })
const wanted = (kind: 'classic' | 'split'): Map<number, number> => new Map([[encoded[kind].places.get(a)!, 3], [encoded[kind].places.get(b)!, 2]])

describe('countLinks', () => {
  it.each(['classic', 'split'] as const)('counts the names of linked files: %s', async (kind) => {
    for (const options of [{}, { peeks: false }, { borders: [50, 100, 150, 1000] }]) {
      expect(await countLinks(await openWith(encoded[kind].meta, options))).toEqual(wanted(kind))
    }
  })

  it('steps over contents', async () => {
    const stream = new MemoryStream(encoded.classic.meta, { peeks: false })
    const archive = await PxarArchive.open({ meta: stream })
    stream.reads.length = 0
    await countLinks(archive)
    expect(stream.reads.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(250_000)
  })

  it('gives the event loop its turns, and stops when aborted', async () => {
    const many = encodeArchive(dir('', Array.from({ length: 30_000 }, (_, i) => file(`f${i}`))), { split: true }).meta
    const archive = await openWith(many)
    let turns = 0
    let running = true
    const turn = (): void => {
      turns++
      if (running) setImmediate(turn)
    }
    setImmediate(turn)
    await countLinks(archive, { sliceMs: 0 })
    expect(turns).toBeGreaterThan(100)
    const controller = new AbortController()
    setImmediate(() => controller.abort())
    await expect(countLinks(archive, { sliceMs: 0, signal: controller.signal })).rejects.toThrow(AbortedError)
    running = false
    await expect(countLinks(archive, { signal: AbortSignal.abort() })).rejects.toThrow(AbortedError)
  })

  it('a peeked view is not used after the event loop turned', async () => {
    const meta = encodeArchive(dir('', Array.from({ length: 5000 }, (_, i) => file(`f${i}`))), { split: true }).meta
    const stream = new MemoryStream(meta)
    const lent: Buffer[] = []
    // Lends copies and spoils them as soon as the event loop turns, as a cache that evicts would.
    stream.peek = (offset, length) => {
      const copy = Buffer.from(meta.subarray(offset, offset + length))
      lent.push(copy)
      return copy
    }
    const archive = await PxarArchive.open({ meta: stream })
    const spoil = setInterval(() => lent.splice(0).forEach((copy) => copy.fill(0xee)), 0)
    try {
      expect(await countLinks(archive, { sliceMs: 0 })).toEqual(new Map())
      expect((await archive.openDir(archive.rootEnd)).problems).toEqual([])
    } finally {
      clearInterval(spoil)
    }
  })

  it('leaves out links to nowhere', async () => {
    const bent = dir('', [a, hardlink('x', a, 'a', { delta: 0n }), hardlink('y', a, 'a', { delta: 2n ** 64n - 1n }), hardlink('z', a, 'a', { delta: 9999n })])
    expect(await countLinks(await openWith(encodeArchive(bent).meta))).toEqual(new Map())
  })

  it('a broken chain of items is a named error', async () => {
    const unknown = dir('', [file('a', 'x', { bend: { after: item(0x123456789an) } })])
    await expect(openWith(encodeArchive(unknown).meta).then((archive) => countLinks(archive))).rejects.toThrow(/unknown at offset \d+: an item that cannot be here/)
    const marker = dir('', [file('a', 'x', { bend: { after: item(TYPE.payloadTail) } })])
    await expect(openWith(encodeArchive(marker).meta).then((archive) => countLinks(archive))).rejects.toThrow(FormatError)
    const cut = await openWith(encoded.split.meta.subarray(0, encoded.split.meta.length - 30))
    await expect(countLinks(cut)).rejects.toThrow(TruncatedError)
  })
})

describe('countLinksByCatalog', () => {
  const catalog = (trees: Parameters<typeof encodeCatalog>[0]): Promise<Catalog> => Catalog.open(new MemoryStream(encodeCatalog(trees)))

  it('gives the same counts and reads little', async () => {
    for (const options of [{}, { peeks: false }]) {
      const stream = new MemoryStream(encoded.classic.meta, options)
      const archive = await PxarArchive.open({ meta: stream })
      stream.reads.length = 0
      expect(await countLinksByCatalog(archive, await catalog({ 'r.pxar.didx': root }), 'r.pxar.didx')).toEqual(wanted('classic'))
      expect(stream.reads.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(50_000)
    }
  })

  it('without links the archive is not touched', async () => {
    const stream = new MemoryStream(encoded.classic.meta, { peeks: false })
    const archive = await PxarArchive.open({ meta: stream })
    stream.reads.length = 0
    expect(await countLinksByCatalog(archive, await catalog({ 'r.pxar.didx': dir('', [c]) }), 'r.pxar.didx')).toEqual(new Map())
    expect(stream.reads).toEqual([])
  })

  it('an archive the catalog does not have: undefined', async () => {
    expect(await countLinksByCatalog(await openWith(encoded.classic.meta), await catalog({}), 'r.pxar.didx')).toBeUndefined()
  })

  it.each([
    ['a name the archive does not have', dir('', [hardlink('nothing', a)])],
    ['a folder the archive does not have', dir('', [dir('nothing', [hardlink('1', a)])])],
    ['a folder that is a file there', dir('', [dir('g', [hardlink('1', a)])])],
    ['a link that is none there', dir('', [dir('d', [hardlink('a', a)])])],
  ])('disagreement is an error: %s', async (_, tree) => {
    const archive = await openWith(encoded.classic.meta)
    await expect(countLinksByCatalog(archive, await catalog({ 'r.pxar.didx': tree }), 'r.pxar.didx')).rejects.toThrow(/archive and catalog disagree/)
  })

  it('stops when aborted', async () => {
    const archive = await openWith(encoded.classic.meta)
    const pending = countLinksByCatalog(archive, await catalog({ 'r.pxar.didx': root }), 'r.pxar.didx', { signal: AbortSignal.abort() })
    await expect(pending).rejects.toThrow(AbortedError)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AbortedError, FormatError, PbsfsError } from '#src/errors/errors.js'
import { Catalog, type CatalogFolder } from '#src/pxar-decode/catalog.js'
import { CATALOG_MAGIC, CatalogWriter, catalogEntry, encodeCatalog, varu } from '../support/catalog-encoder.js'
import { MemoryStream, type MemoryStreamOptions } from '../support/memory-stream.js'
import { bytes, dir, file, hardlink, symlink } from '../support/pxar-encoder.js'

function pathOf(folder: CatalogFolder, name: Uint8Array): string {
  let path = Buffer.from(name).toString('latin1')
  for (let at = folder; at.parent !== undefined; at = at.parent) path = `${Buffer.from(at.name).toString('latin1')}/${path}`
  return path
}

async function list(encoded: Buffer, archive: string, options: MemoryStreamOptions = {}): Promise<string[] | undefined> {
  const seen: string[] = []
  const catalog = await Catalog.open(new MemoryStream(encoded, options))
  const known = await catalog.walk(archive, (entry, folder) => {
    seen.push(`${String.fromCharCode(entry.type)} ${pathOf(folder, entry.bytes.slice(entry.nameStart, entry.nameEnd))} ${entry.size} ${entry.mtimeSec}`)
  })
  return known ? seen.sort() : undefined
}

const a = file('a', 'hello', { mtimeSec: -5 })
const root = dir('', [a, dir('d', [hardlink('l', a), dir('e', [file('x')])]), hardlink('m', a), symlink('s', 't')])

describe('Catalog', () => {
  it('lists an archive; others beside it do not show', async () => {
    const encoded = encodeCatalog({ 'root.pxar.didx': root, 'etc.pxar.didx': dir('', [file('hosts', 'x')]) })
    const wanted = ['d d 0 0', 'd d/e 0 0', 'f a 5 -5', 'f d/e/x 0 0', 'h d/l 0 0', 'h m 0 0', 'l s 0 0']
    for (const options of [{}, { peeks: false }, { borders: [20, 30, 40] }]) {
      expect(await list(encoded, 'root.pxar.didx', options)).toEqual(wanted)
      expect(await list(encoded, 'etc.pxar.didx', options)).toEqual(['f hosts 1 0'])
      expect(await list(encoded, 'none.pxar.didx', options)).toBeUndefined()
    }
    const catalog = await Catalog.open(new MemoryStream(encoded))
    const links = await catalog.findHardLinks('root.pxar.didx')
    expect(links!.map(({ folder, name }) => pathOf(folder, name)).sort()).toEqual(['d/l', 'm'])
    expect((await catalog.archives()).map(({ name }) => Buffer.from(name).toString())).toEqual(['root.pxar.didx', 'etc.pxar.didx'])
  })

  it('lists folders larger than a window', async () => {
    const names = Array.from({ length: 30_000 }, (_, i) => `file-${String(i).padStart(6, '0')}`)
    const encoded = encodeCatalog({ 'r.pxar.didx': dir('', names.map((name) => file(name, 'x'))) })
    for (const options of [{}, { peeks: false }]) {
      expect(await list(encoded, 'r.pxar.didx', options)).toEqual(names.map((name) => `f ${name} 1 0`))
    }
  })

  it('stops when aborted', async () => {
    const catalog = await Catalog.open(new MemoryStream(encodeCatalog({ 'r.pxar.didx': root })))
    await expect(catalog.findHardLinks('r.pxar.didx', { signal: AbortSignal.abort() })).rejects.toThrow(AbortedError)
  })

  describe('damage', () => {
    const withRoot = (build: (writer: CatalogWriter) => number): Buffer => {
      const writer = new CatalogWriter()
      const block = build(writer)
      const at = writer.position
      return writer.finish(writer.block([catalogEntry('d', 'r.pxar.didx', varu(at - block))]))
    }
    it.each<[string, Buffer, RegExp]>([
      ['too short', CATALOG_MAGIC, /goes on past/],
      ['no magic', Buffer.alloc(40), /not a catalog/],
      ['root block inside the magic', new CatalogWriter().finish(3), /goes on past/],
      ['root block behind the end', withPointer(1000n), /no block can start here/],
      ['root block inside the magic', withPointer(3n), /no block can start here/],
      ['pointer of 2^63', withPointer(2n ** 63n), /no block can start here/],
      ['unknown type', withRoot((w) => w.block([catalogEntry('z', 'x')])), /unknown type 122/],
      ['name with a slash', withRoot((w) => w.block([catalogEntry('l', 'a/b')])), /no file can have/],
      ['name with NUL', withRoot((w) => w.block([catalogEntry('l', 'a\0b')])), /no file can have/],
      ['empty name', withRoot((w) => w.block([catalogEntry('l', '')])), /no file can have/],
      ['name ..', withRoot((w) => w.block([catalogEntry('l', '..')])), /no file can have/],
      ['name of 4096 bytes', withRoot((w) => w.block([catalogEntry('l', 'x'.repeat(4096))])), /a name of 4096 bytes/],
      ['name longer than the block', withRoot((w) => w.block([Buffer.from([0x6c, 50, 0x61])])), /a name of 50 bytes/],
      ['folder that is its own block', withRoot((w) => w.block([catalogEntry('d', 'x', varu(0))])), /a folder without block/],
      ['folder before the first block', withRoot((w) => w.block([catalogEntry('d', 'x', varu(100))])), /a folder without block/],
      ['more entries than bytes', withRoot((w) => w.block([catalogEntry('l', 'x')], 5)), /past its block/],
      ['fewer entries than bytes', withRoot((w) => w.block([catalogEntry('l', 'x'), catalogEntry('l', 'y')], 1)), /its length is not/],
      ['2^50 entries', withRoot((w) => w.block([catalogEntry('l', 'x')], 2 ** 50)), /past its block/],
      ['block of length 0', withRoot((w) => { const at = w.position; w.raw(Buffer.from([0, 0])); return at }), /goes on past/],
      ['block longer than the catalog', withRoot((w) => { const at = w.position; w.raw(Buffer.concat([varu(2 ** 40), varu(1)])); return at }), /goes on past/],
    ])('%s', async (_, encoded, message) => {
      await expect(list(encoded, 'r.pxar.didx')).rejects.toThrow(message)
      await expect(list(encoded, 'r.pxar.didx')).rejects.toBeInstanceOf(PbsfsError)
    }) // prettier-ignore

    it('blocks used again and again: stops soon', async () => {
      const writer = new CatalogWriter()
      let block = writer.block([catalogEntry('l', 'x')])
      // Each level holds the one below twice: 2^60 entries in less than a kilobyte.
      for (let i = 0; i < 60; i++) {
        const distance = varu(writer.position - block)
        block = writer.block([catalogEntry('d', 'a', distance), catalogEntry('d', 'b', distance)])
      }
      const at = writer.position
      const encoded = writer.finish(writer.block([catalogEntry('d', 'r.pxar.didx', varu(at - block))]))
      await expect(list(encoded, 'r.pxar.didx')).rejects.toThrow(/used more than once/)
    })

    it('every byte changed, cut off anywhere: a value or a named error', async () => {
      const encoded = encodeCatalog({ 'r.pxar.didx': root })
      const allow = (error: unknown): void => {
        if (!(error instanceof PbsfsError)) throw error
      }
      for (let at = 0; at < encoded.length; at++) {
        for (const flip of [1, 0x80, 0xff]) {
          const copy = Buffer.from(encoded)
          copy[at]! ^= flip
          await list(copy, 'r.pxar.didx').catch(allow)
        }
        await list(encoded.subarray(0, at), 'r.pxar.didx').catch(allow)
      }
      await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (junk) => {
        await list(Buffer.concat([CATALOG_MAGIC, junk]), 'r.pxar.didx').catch(allow)
      })) // prettier-ignore
    })
  })
})

function withPointer(pointer: bigint): Buffer {
  const encoded = encodeCatalog({ 'r.pxar.didx': root })
  encoded.writeBigUInt64LE(pointer, encoded.length - 8)
  return encoded
}

it('an error names stream and offset', async () => {
  const writer = new CatalogWriter()
  const block = writer.block([catalogEntry('z', bytes('x'))])
  const catalog = await Catalog.open(new MemoryStream(writer.finish(block), { name: 'catalog.pcat1' }))
  const error: unknown = await catalog.archives().catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(FormatError)
  expect((error as FormatError).fields).toMatchObject({ stream: 'catalog.pcat1', offset: 10 })
})

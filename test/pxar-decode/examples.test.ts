import { describe, expect, it } from 'vitest'
import { PxarArchive } from '#src/pxar-decode/archive.js'
import { Catalog, type CatalogEntry, type CatalogFolder } from '#src/pxar-decode/catalog.js'
import { FLAG_LINKED_NAME, FLAG_PAYLOAD_REF, KIND_DIR, KIND_FILE, KIND_SYMLINK, createRecord } from '#src/pxar-decode/entry-record.js'
import { countLinks } from '#src/pxar-decode/link-counts.js'
import { MemoryStream } from '../support/memory-stream.js'
import { dir, encodeArchive, file, hardlink, symlink } from '../support/pxar-encoder.js'

const hexOf = (...parts: string[]): Buffer => Buffer.from(parts.join('').replaceAll(/[^0-9a-f]/g, ''), 'hex')
const ENTRY = 'efac88e5746495d5 3800000000000000'
const ROOT_MTIME = '00f1536500000000'

/** Root (mtime 1700000000.5), file `a` = "hi" (1000:1000), symlink `b` -> `a`. Written by the format's own encoder. */
const CLASSIC = hexOf(
  ENTRY, 'ed41000000000000 0000000000000000 00000000 00000000', ROOT_MTIME, '0065cd1d 00000000', // 0000
  'b317390621117016 1200000000000000 6100', // 0038 FILENAME a
  ENTRY, 'a481000000000000 0000000000000000 e8030000 e8030000', ROOT_MTIME, '00000000 00000000', // 004a
  '251a7c0b1b7a1428 1200000000000000 6869', // 0082 PAYLOAD
  'b317390621117016 1200000000000000 6200', // 0094 FILENAME b
  ENTRY, 'ffa1000000000000 0000000000000000 e8030000 e8030000', ROOT_MTIME, '00000000 00000000', // 00a6
  '5fdcf5dbe771f927 1200000000000000 6100', // 00de SYMLINK
  '1d73d542a64fec2f 5800000000000000', // 00f0 GOODBYE
  '33c7e812f5a31d4d 5c00000000000000 5c00000000000000',
  'cf7b2c7c06e9260c b800000000000000 5c00000000000000',
  '55153e755bed5eef f000000000000000 5800000000000000',
) // prettier-ignore

/** Root / `d/` / `d/a` = "hello"; `e` is a hard link to `d/a`. */
const stat = (mode: string): string => `${ENTRY} ${mode} 0000000000000000 00000000 00000000 ${ROOT_MTIME} 00000000 00000000`
const SPLIT = hexOf(
  '0da416df756c0f73 1800000000000000 0200000000000000', // 0000 FORMAT_VERSION
  stat('ed41000000000000'), // 0018
  'b317390621117016 1200000000000000 6400', // 0050 FILENAME d
  stat('ed41000000000000'), // 0062
  'b317390621117016 1200000000000000 6100', // 009a FILENAME a
  stat('a481000000000000'), // 00ac
  '7e97bac46b3d9d41 2000000000000000 1000000000000000 0500000000000000', // 00e4 PAYLOAD_REF
  '1d73d542a64fec2f 4000000000000000', // 0104 GOODBYE of d
  'cf7b2c7c06e9260c 6a00000000000000 6f00000000000000',
  '55153e755bed5eef a200000000000000 4000000000000000',
  'b317390621117016 1200000000000000 6500', // 0144 FILENAME e
  '7572bd22849c2651 1c00000000000000 aa00000000000000 642f6100', // 0156 HARDLINK
  '1d73d542a64fec2f 5800000000000000', // 0172 GOODBYE of /
  '99561f2eeec5fc88 2e00000000000000 2e00000000000000',
  'c3472fbc6c1db625 2201000000000000 f400000000000000',
  '55153e755bed5eef 7201000000000000 5800000000000000',
)
const SPLIT_PAYLOAD = hexOf('d24e4a19c2684c83 1000000000000000 251a7c0b1b7a1428 1500000000000000 68656c6c6f b5814c988bb7726c 1000000000000000')

const MTIME = { mtimeSec: 1_700_000_000 }

describe('classic example', () => {
  it('is what the test encoder writes', () => {
    const root = dir('', [file('a', 'hi', { ...MTIME, uid: 1000, gid: 1000 }), symlink('b', 'a', { ...MTIME, uid: 1000, gid: 1000 })], {
      ...MTIME, mtimeNsec: 500_000_000,
    }) // prettier-ignore
    expect(encodeArchive(root).meta.toString('hex')).toBe(CLASSIC.toString('hex'))
    expect(CLASSIC.length).toBe(0x148)
  })

  it('decodes to the offsets the format says', async () => {
    const archive = await PxarArchive.open({ meta: new MemoryStream(CLASSIC) })
    expect(archive).toMatchObject({ version: 1, rootEnd: 0x148, rootEntryOfs: 0 })
    expect(archive.root).toMatchObject({ kind: KIND_DIR, mode: 0o40755, uid: 0, mtimeSec: 1_700_000_000, mtimeNsec: 500_000_000, end: 0x148, itemEnd: 0x38 })
    const table = await archive.openDir(0x148)
    expect(table.count).toBe(2)
    expect(Buffer.from(table.names).toString()).toBe('ab')
    const a = createRecord()
    table.entryAt(0, a)
    expect(a).toEqual({
      kind: KIND_FILE, flags: 0, fileOfs: 0x38, entryOfs: 0x4a, nameStart: 0x48, nameEnd: 0x49, mode: 0o100644, uid: 1000, gid: 1000,
      mtimeSec: 1_700_000_000, mtimeNsec: 0, size: 2, contentOfs: 0x82, major: 0, minor: 0, linkTarget: 0, itemEnd: 0x94, end: 0,
    }) // prettier-ignore
    expect(archive.contentOf(a)).toMatchObject({ start: 0x92, size: 2 })
    const b = createRecord()
    table.entryAt(1, b)
    expect(b).toMatchObject({ kind: KIND_SYMLINK, fileOfs: 0x94, entryOfs: 0xa6, contentOfs: 0xde, size: 1, itemEnd: 0xf0, mode: 0o120777 })
    expect(Buffer.from(await archive.readLink(b)).toString()).toBe('a')
    expect(table.find(Buffer.from('a'))).toBe(0)
    expect(table.find(Buffer.from('b'))).toBe(1)
    expect(table.find(Buffer.from('c'))).toBe(-1)
    expect(await archive.readEntry(0x38)).toEqual(a)
  })
})

describe('split example', () => {
  it('is what the test encoder writes', () => {
    const a = file('a', 'hello', MTIME)
    const encoded = encodeArchive(dir('', [dir('d', [a], MTIME), hardlink('e', a, 'd/a')], MTIME), { split: true })
    expect(encoded.meta.toString('hex')).toBe(SPLIT.toString('hex'))
    expect(encoded.payload!.toString('hex')).toBe(SPLIT_PAYLOAD.toString('hex'))
    expect(SPLIT.length).toBe(0x1ca)
  })

  it('decodes to the offsets the format says', async () => {
    const archive = await PxarArchive.open({ meta: new MemoryStream(SPLIT), payload: new MemoryStream(SPLIT_PAYLOAD) })
    expect(archive).toMatchObject({ version: 2, rootEntryOfs: 0x18, rootEnd: 0x1ca })
    const root = await archive.openDir(archive.rootEnd)
    const record = createRecord()
    root.entryAt(root.find(Buffer.from('d')), record)
    expect(record).toMatchObject({ kind: KIND_DIR, fileOfs: 0x50, entryOfs: 0x62, end: 0x144, itemEnd: 0x9a })
    expect(await archive.readDirEntry(0x144)).toEqual({ ...record, fileOfs: -1, nameStart: 0, nameEnd: 0 })
    const d = await archive.openDir(0x144, 0x62)
    const a = createRecord()
    d.entryAt(0, a)
    expect(a).toMatchObject({ fileOfs: 0x9a, entryOfs: 0xac, contentOfs: 0x10, size: 5, flags: FLAG_PAYLOAD_REF })
    expect(await archive.contentOf(a)).toMatchObject({ start: 0x20, size: 5 })
    root.entryAt(root.find(Buffer.from('e')), record)
    expect(record).toEqual({ ...a, flags: FLAG_PAYLOAD_REF | FLAG_LINKED_NAME })
    expect(await countLinks(archive)).toEqual(new Map([[0x9a, 2]]))
  })
})

describe('catalog example', () => {
  const CATALOG = hexOf(
    '91fd60f9c46758d5', // magic
    '0100', // 08: block d
    '1a04', // 0a: archive block
    '660161ac0280e2cfaa06', // f a 300
    '64016402', // d d
    '66036f6c64008100', // f old
    '6c0173', // l s
    '1201640e726f6f742e707861722e646964781b', // 25: root block
    '2500000000000000',
  )

  it('holds the entries the format says', async () => {
    expect(CATALOG.length).toBe(64)
    const catalog = await Catalog.open(new MemoryStream(CATALOG))
    const archives = await catalog.archives()
    expect(archives.map(({ name, block }) => [Buffer.from(name).toString(), block])).toEqual([['root.pxar.didx', 0x0a]])
    const seen: unknown[] = []
    const visit = (entry: CatalogEntry, folder: CatalogFolder): void => {
      expect(folder.parent).toBeUndefined()
      const name = Buffer.from(entry.bytes.subarray(entry.nameStart, entry.nameEnd)).toString()
      seen.push([String.fromCharCode(entry.type), name, entry.size, entry.mtimeSec, entry.block])
    }
    expect(await catalog.walk('root.pxar.didx', visit)).toBe(true)
    expect(seen).toEqual([['f', 'a', 300, 1_700_000_000, 0], ['d', 'd', 0, 0, 8], ['f', 'old', 0, -1, 0], ['l', 's', 0, 0, 0]])
    expect(await catalog.walk('other.pxar.didx', visit)).toBe(false)
    expect(await catalog.findHardLinks('root.pxar.didx')).toEqual([])
    expect(await catalog.findHardLinks('other.pxar.didx')).toBeUndefined()
  })
})

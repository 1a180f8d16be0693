import { ftruncateSync, openSync, closeSync, mkdtempSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, test } from 'vitest'
import { decodeBlobFile, decodeChunk } from '#src/blob/decode.js'
import { FormatError, IntegrityError, isPbsfsError, NodeError } from '#src/errors/errors.js'
import { checkIndexEnds, parseIndex } from '#src/index/parse-index.js'
import { PxarArchive } from '#src/pxar-decode/archive.js'
import { createRecord } from '#src/pxar-decode/entry-record.js'
import { MAX_MANIFEST_FILES, parseManifest } from '#src/source/manifest.js'
import {
  compressZstd, DatastoreWriter, digestOf, encodeDynamicIndex, encodeFixedIndex, encodeManifestJson, encodeRawBlob,
} from '../support/datastore-writer.js' // prettier-ignore
import { MemoryStream } from '../support/memory-stream.js'
import { OpenedTree } from '../support/opened-tree.js'
import { bytes, dir, encodeArchive, file, hardlink, item, symlink, TYPE, u64, type SourceDir } from '../support/pxar-encoder.js'

const folder = mkdtempSync(join(tmpdir(), 'pbsfs-hostile-'))
afterAll(() => rmSync(folder, { recursive: true }))

const T = '2026-01-01T00:00:00Z'
const TWO_63 = 2n ** 63n

const open = (meta: Buffer): Promise<PxarArchive> => PxarArchive.open({ meta: new MemoryStream(meta) })

/** Names listed in the root, and how many entries were lost; every error is a named one. */
async function list(root: SourceDir, options = {}): Promise<{ names: string[]; problems: string[] }> {
  const archive = await open(encodeArchive(root, options).meta)
  const table = await archive.openDir(archive.rootEnd)
  const names = Array.from({ length: table.count }, (_, i) => Buffer.from(table.nameAt(i)).toString('latin1'))
  for (const { error } of table.problems) expect(isPbsfsError(error)).toBe(true)
  return { names, problems: table.problems.map(({ error }) => error.message) }
}

describe('decompression bombs', () => {
  const bomb = compressZstd(Buffer.alloc(64 << 20))

  it('a chunk of 4 KiB that unfolds to 64 MiB is not unfolded', () => {
    const before = process.memoryUsage().external
    const target = new Uint8Array(4096)
    expect(() => decodeChunk(encodeRawBlob(bomb, 'zstd'), digestOf(target), target, false)).toThrow(IntegrityError)
    expect(process.memoryUsage().external - before).toBeLessThan(16 << 20)
  })

  it('nor is a blob above its bound', () => {
    expect(() => decodeBlobFile(encodeRawBlob(bomb, 'zstd'), 'a.blob', 1 << 20)).toThrow(FormatError)
  })
})

describe('sizes around 2^63', () => {
  const values = [2n ** 53n, 2n ** 62n, TWO_63 - 1n, TWO_63, 2n ** 64n - 16n, 2n ** 64n - 1n]

  it.each(values)('%d as the end of a chunk, the length of an image and its chunks', (value) => {
    expect(() => parseIndex(encodeDynamicIndex([{ end: value, digest: Buffer.alloc(32) }]), 'a.didx')).toThrow(FormatError)
    const fixed = encodeFixedIndex(65_536, [Buffer.alloc(32)], { chunkSize: 65_536 })
    for (const at of [64, 72]) {
      const changed = Buffer.from(fixed)
      changed.writeBigUInt64LE(value, at)
      expect(() => parseIndex(changed, 'a.fidx')).toThrow(FormatError)
    }
  })

  it.each(values)('%d in a manifest costs the file', (value) => {
    const json = `{"backup-type":"host","backup-id":"a","backup-time":1,"files":[{"filename":"a.fidx","size":${value},"csum":"${'00'.repeat(32)}"}],"unprotected":{}}`
    expect(parseManifest(Buffer.from(json), 'index.json')).toMatchObject({ files: [], problems: [expect.stringContaining('size')] })
  })

  it.each(values)('%d as size, extent and distance in an archive costs its entry', async (value) => {
    const header = Buffer.concat([u64(TYPE.payload, value)])
    for (const bend of [{ extent: value }, { distance: value }, { body: header }, { extra: u64(TYPE.xattr, value) }]) {
      const { names, problems } = await list(dir('', [file('a', 'first'), file('bad', 'x', { bend }), file('c', 'third')]))
      expect([names, problems.length > 0]).toEqual([['a', 'c'], true])
    }
  })
})

describe('hard links that lead in circles', () => {
  it('to themselves, to each other, forwards and to directories: lost, the rest is there', async () => {
    const a = file('a', 'first')
    const one = hardlink('one', a, 'a', { delta: 0n })
    const two = hardlink('two', a, 'a', { delta: -64n })
    const chain = hardlink('chain', a, 'a')
    const again = hardlink('again', chain, 'chain')
    const below = dir('dir', [])
    const { names, problems } = await list(dir('', [a, below, one, two, chain, again, hardlink('to-dir', below, 'dir')]))
    expect(names).toEqual(['a', 'dir', 'chain'])
    expect(problems.length).toBe(4)
  })
})

describe('names', () => {
  const bad: [what: string, name: string][] = [
    ['a slash', 'a/b'],
    ['the root', '/'],
    ['this folder', '.'],
    ['the folder above', '..'],
    ['a way out', '../../etc/passwd'],
    ['NUL', 'a\0b'],
    ['nothing', ''],
    ['10 kB', 'x'.repeat(10_000)],
  ]
  it.each(bad)('%s: the entry is lost and reported, its neighbours stay', async (_what, name) => {
    for (const split of [false, true]) {
      const { names, problems } = await list(dir('', [file('a', '1'), file(name, '2'), file('z', '3')]), { split })
      expect(names).toEqual(['a', 'z'])
      expect(problems.length).toBe(1)
    }
  })

  it('a directory of such a name takes its content along, and nothing else', async () => {
    const { names } = await list(dir('', [dir('..', [file('passwd', 'x')]), file('z', '3')]))
    expect(names).toEqual(['z'])
  })
})

test('a million extended attributes are refused by their size, at once', async () => {
  const one = item(TYPE.xattr, bytes('user.a\0b'))
  const many = Buffer.concat(Array.from({ length: 1_000_000 }, () => one))
  const { names, problems } = await list(dir('', [file('a', '1'), file('many', '2', { bend: { extra: many } }), file('z', '3')]))
  expect(names).toEqual(['a', 'z'])
  expect(problems.length).toBe(1)
})

describe('directories that contain themselves', () => {
  it.each([0n, -16n, -200n])('the extent of the inner one (off by %d) reaches over its parent', async (shift) => {
    const inner = dir('inner', [file('x', 'y')], { bend: { extent: 4096n + shift } })
    const { names, problems } = await list(dir('', [file('a', '1'), inner]))
    expect(names).toEqual(['a'])
    expect(problems.length).toBe(1)
  })

  it('the tail of the inner table names the outer directory', async () => {
    const inner = dir('inner', [file('x', 'y')])
    const { meta, places } = encodeArchive(dir('', [file('a', '1'), inner]))
    const archive = await open(meta)
    const outer = await archive.openDir(archive.rootEnd)
    const record = createRecord()
    outer.entryAt(outer.count - 1, record)
    const changed = Buffer.from(meta)
    const tail = record.end - 24
    const size = Number(changed.readBigUInt64LE(tail + 16))
    changed.writeBigUInt64LE(BigInt(record.end - size - 0), tail + 8)
    expect(places.has(inner)).toBe(true)
    const bent = await open(changed)
    await expect(bent.openDir(record.end, record.entryOfs)).rejects.toBeInstanceOf(FormatError)
    expect((await bent.openDir(bent.rootEnd)).count).toBe(2)
  })

  it("a root whose table points behind FORMAT_VERSION is refused, as is one that points nowhere", async () => {
    const { meta } = encodeArchive(dir('', [file('a', '1'), symlink('l', 'a')]), { split: true })
    for (const shift of [16, 24, 40, -8]) {
      const changed = Buffer.from(meta)
      const at = changed.length - 16
      changed.writeBigUInt64LE(BigInt.asUintN(64, changed.readBigUInt64LE(at) - BigInt(shift)), at)
      const archive = await open(changed)
      await expect(archive.openDir(archive.rootEnd)).rejects.toBeInstanceOf(FormatError)
    }
  })
})

describe('manifests and indices out of all proportion', () => {
  const entry = (i: number) => ({ filename: `f${i}.img.fidx`, size: 65_536, csum: '00'.repeat(32), 'crypt-mode': 'none' })
  const manifestOf = (count: number) =>
    encodeManifestJson({ 'backup-type': 'vm', 'backup-id': '1', 'backup-time': 1767225600, files: Array.from({ length: count }, (_, i) => entry(i)), unprotected: {} })

  it('20,000 files are too many', () => {
    expect(() => parseManifest(manifestOf(20_000), 'index.json')).toThrow(/too many files/)
    expect(parseManifest(manifestOf(MAX_MANIFEST_FILES), 'index.json').files.length).toBe(MAX_MANIFEST_FILES)
  })

  it('a snapshot with as many as there may be is listed, and costs the others nothing', async () => {
    const store = new DatastoreWriter(join(folder, 'many'))
    const snapshot = store.snapshot({ type: 'vm', id: '1' }, T)
    snapshot.finish({ manifest: manifestOf(MAX_MANIFEST_FILES) })
    const tree = await OpenedTree.open(store.path)
    try {
      expect((await tree.names(`vm/1/${T}`)).length).toBe(2 * MAX_MANIFEST_FILES + 1)
    } finally {
      await tree.close()
    }
  })

  it('an index of 1 GiB that is a hole is refused by its ends', async () => {
    const store = new DatastoreWriter(join(folder, 'sparse'))
    const snapshot = store.snapshot({ type: 'host', id: 'a' }, T)
    const whole = encodeDynamicIndex([{ end: 100, digest: Buffer.alloc(32) }])
    snapshot.addFile('root.pxar.didx', whole, 100, '00'.repeat(32))
    snapshot.finish()
    const fd = openSync(join(store.path, snapshot.relative, 'root.pxar.didx'), 'r+')
    ftruncateSync(fd, 4096 + 40 * 26_000_000)
    writeSync(fd, whole.subarray(0, 4096), 0, 4096, 0)
    closeSync(fd)
    const tree = await OpenedTree.open(store.path)
    try {
      const before = process.memoryUsage().external
      const error = await tree.names(`host/a/${T}/root.pxar`).catch((failure: unknown) => failure)
      expect(error).toBeInstanceOf(Error)
      expect(error).not.toBeInstanceOf(NodeError)
      expect(String(error)).toMatch(/the last of 26000000 entries ends at 0/)
      expect(process.memoryUsage().external - before).toBeLessThan(64 << 20)
    } finally {
      await tree.close()
    }
  })

  it('the ends of an index are judged as the whole is', () => {
    const index = encodeDynamicIndex([{ end: 100, digest: Buffer.alloc(32) }, { end: 9000, digest: Buffer.alloc(32) }])
    expect(() => checkIndexEnds(index.subarray(0, 4096), index.subarray(-40), index.length, 'a.didx')).not.toThrow()
    expect(() => checkIndexEnds(index.subarray(0, 4096), Buffer.alloc(40), index.length, 'a.didx')).toThrow(FormatError)
    const fixed = encodeFixedIndex(65_536, [Buffer.alloc(32)], { chunkSize: 65_536 })
    expect(() => checkIndexEnds(fixed.subarray(0, 4096), fixed.subarray(-40), fixed.length, 'a.fidx')).not.toThrow()
    expect(() => checkIndexEnds(fixed.subarray(0, 4096), fixed.subarray(-40), fixed.length + 32, 'a.fidx')).toThrow(/another length/)
  })
})

import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { FormatError } from '#src/errors/errors.js'
import { PxarArchive } from '#src/pxar-decode/archive.js'
import { Catalog } from '#src/pxar-decode/catalog.js'
import {
  FLAG_LINKED_NAME, KIND_BLOCK, KIND_CHAR, KIND_DIR, KIND_FIFO, KIND_FILE, KIND_SOCKET, KIND_SYMLINK, createRecord,
  type EntryRecord,
} from '#src/pxar-decode/entry-record.js' // prettier-ignore
import { countLinks, countLinksByCatalog } from '#src/pxar-decode/link-counts.js'
import { GoldenStream } from '../support/golden-stream.js'
import { goldenDir } from '../support/golden.js'
import { MemoryStream } from '../support/memory-stream.js'
import { readTruth, type Truth } from '../support/truth.js'

const golden = goldenDir()
const TYPE = { [KIND_FILE]: 'file', [KIND_DIR]: 'dir', [KIND_SYMLINK]: 'symlink', [KIND_CHAR]: 'char', [KIND_BLOCK]: 'block', [KIND_FIFO]: 'fifo', [KIND_SOCKET]: 'socket' } as Record<number, string>
/** Contents above this are compared elsewhere, through the whole reader. */
const MAX_CONTENT = 16 * 1024 * 1024

/** What the archive says, in the form of the truth; link counts of files only. */
async function describeArchive(archive: PxarArchive): Promise<Map<string, Truth>> {
  const found = new Map<string, Truth>()
  const links = await countLinks(archive)
  const firstName = new Map<number, string>()
  const directories = [{ path: '', end: archive.rootEnd, entryOfs: archive.rootEntryOfs }]
  const sightings: { path: string; record: EntryRecord }[] = [{ path: '', record: { ...archive.root } }]
  while (directories.length > 0) {
    const { path, end, entryOfs } = directories.pop()!
    const table = await archive.openDir(end, entryOfs)
    expect(table.problems).toEqual([])
    for (let i = 0; i < table.count; i++) {
      const record = createRecord()
      table.entryAt(i, record)
      const name = table.nameAt(i)
      expect(table.find(name)).toBe(i)
      const full = (path === '' ? '' : `${path}2f`) + Buffer.from(name).toString('hex')
      sightings.push({ path: full, record })
      if (record.kind === KIND_DIR) directories.push({ path: full, end: record.end, entryOfs: record.entryOfs })
      else expect(await archive.readEntry(record.fileOfs)).toEqual({ ...record, flags: record.flags & ~FLAG_LINKED_NAME })
    }
  }
  for (const { path, record } of sightings) {
    if (record.kind !== KIND_FILE) continue
    const known = firstName.get(record.fileOfs)
    // As the format has it, the first name is the one that is not a link.
    if (known === undefined || (record.flags & FLAG_LINKED_NAME) === 0) firstName.set(record.fileOfs, path)
  }
  for (const { path, record } of sightings) {
    const seen: Truth = {
      path,
      type: TYPE[record.kind] as Truth['type'],
      mode: (record.mode & 0o7777).toString(8).padStart(4, '0'),
      uid: record.uid,
      gid: record.gid,
      mtime_ns: (BigInt(record.mtimeSec) * 1_000_000_000n + BigInt(record.mtimeNsec)).toString(),
      nlink: record.kind === KIND_FILE ? (links.get(record.fileOfs) ?? 1) : 1,
    }
    if (record.kind === KIND_FILE) {
      seen.size = record.size
      if (links.has(record.fileOfs)) seen.same_file_as = firstName.get(record.fileOfs)!
      const { stream, start, size } = await archive.contentOf(record)
      if (size <= MAX_CONTENT) seen.sha256 = createHash('sha256').update(await stream.read(start, size)).digest('hex')
    }
    if (record.kind === KIND_SYMLINK) seen.target = Buffer.from(await archive.readLink(record)).toString('hex')
    if (record.kind === KIND_CHAR || record.kind === KIND_BLOCK) {
      seen.major = record.major
      seen.minor = record.minor
    }
    const xattrs = await archive.attributes(record)
    if (xattrs.length > 0) {
      seen.xattrs = Object.fromEntries(xattrs.map(({ name, value }) => [Buffer.from(name).toString('hex'), Buffer.from(value).toString('hex')]))
    }
    found.set(path, seen)
  }
  return found
}

/** The truth, without what an archive of its own does not tell. */
function expected(truth: Truth[]): Map<string, Truth> {
  return new Map(
    truth.map((entry) => {
      const { sha256, ...rest } = entry
      const keep = { ...rest, nlink: entry.type === 'file' ? entry.nlink : 1 }
      return [entry.path, sha256 !== undefined && entry.size! <= MAX_CONTENT ? { ...keep, sha256 } : keep]
    }),
  )
}

function compare(found: Map<string, Truth>, truth: Truth[]): void {
  const wanted = expected(truth)
  expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort())
  for (const [path, entry] of wanted) expect(found.get(path), Buffer.from(path, 'hex').toString()).toEqual(entry)
}

describe.skipIf(golden === undefined)('archives of the real client', () => {
  const read = (name: string): Buffer => readFileSync(join(golden!, 'archives', name))
  let truth: Truth[]
  beforeAll(() => {
    truth = readTruth(golden!, 'archives-small')
  })

  it('classic: every entry equals the source', async () => {
    compare(await describeArchive(await PxarArchive.open({ meta: new MemoryStream(read('small.pxar')) })), truth)
  })

  it('split: every entry equals the source', async () => {
    const archive = await PxarArchive.open({ meta: new MemoryStream(read('small.mpxar')), payload: new MemoryStream(read('small.ppxar')) })
    compare(await describeArchive(archive), truth)
  })

  it('split, in pieces of 61 bytes and never in memory: the same', async () => {
    const meta = read('small.mpxar')
    const borders = Array.from({ length: Math.floor(meta.length / 61) }, (_, i) => (i + 1) * 61)
    for (const options of [{ borders }, { peeks: false }]) {
      const archive = await PxarArchive.open({ meta: new MemoryStream(meta, options), payload: new MemoryStream(read('small.ppxar'), { peeks: false }) })
      compare(await describeArchive(archive), truth)
    }
  })
})

describe.skipIf(golden === undefined)('archives in the datastore of the real server', () => {
  const stream = (path: string): GoldenStream => new GoldenStream(join(golden!, 'store'), path)

  it.each([
    ['host/tricky/2023-11-27T12:00:00Z', 'host-tricky-2'],
    ['host/tricky/2023-11-28T12:00:00Z', 'host-tricky-3'],
    ['host/tricky/2023-11-29T12:00:00Z', 'host-tricky-4'],
    ['ns/prod/host/tricky', 'ns-prod-host-tricky'],
  ])('split: %s', async (snapshot, name) => {
    const folder = name.startsWith('ns-') ? `${snapshot}/${readdirSync(join(golden!, 'store', snapshot)).find((entry) => entry.startsWith('2'))!}` : snapshot
    const archive = await PxarArchive.open({ meta: stream(`${folder}/root.mpxar.didx`), payload: stream(`${folder}/root.ppxar.didx`) })
    compare(await describeArchive(archive), readTruth(golden!, name))
  })

  it('classic, with catalog: entries, link counts both ways, few chunks touched', async () => {
    const folder = 'host/tricky/2023-11-26T12:00:00Z'
    const archive = await PxarArchive.open({ meta: stream(`${folder}/root.pxar.didx`) })
    const truth = readTruth(golden!, 'host-tricky-1')
    compare(await describeArchive(archive), truth)

    const scanned = stream(`${folder}/root.pxar.didx`)
    const counts = await countLinks(await PxarArchive.open({ meta: scanned }))
    expect(scanned.touched.size).toBeLessThan(12)
    expect(counts.size).toBe(new Set(truth.flatMap((entry) => entry.same_file_as ?? [])).size)

    const asked = stream(`${folder}/root.pxar.didx`)
    const catalog = await Catalog.open(stream(`${folder}/catalog.pcat1.didx`))
    expect(await countLinksByCatalog(await PxarArchive.open({ meta: asked }), catalog, 'root.pxar.didx')).toEqual(counts)
    expect(asked.touched.size).toBeLessThan(5)
    // Another archive's part of the catalog does not fit, and says so.
    await expect(countLinksByCatalog(await PxarArchive.open({ meta: asked }), catalog, 'etc.pxar.didx')).rejects.toThrow(FormatError)
    const etc = await PxarArchive.open({ meta: stream(`${folder}/etc.pxar.didx`) })
    const etcCounts = await countLinksByCatalog(etc, catalog, 'etc.pxar.didx')
    expect(etcCounts!.size).toBeGreaterThan(0)
    expect(etcCounts).toEqual(await countLinks(etc))
    expect(await countLinksByCatalog(await PxarArchive.open({ meta: asked }), catalog, 'none.pxar.didx')).toBeUndefined()
  })

  it('the catalog has the names, kinds, sizes and times of the archive', async () => {
    const catalog = await Catalog.open(stream('host/tricky/2023-11-26T12:00:00Z/catalog.pcat1.didx'))
    const seen = new Map<string, string>()
    await catalog.walk('root.pxar.didx', (entry, folder) => {
      let path = Buffer.from(entry.bytes.subarray(entry.nameStart, entry.nameEnd)).toString('hex')
      for (let at = folder; at.parent !== undefined; at = at.parent) path = `${Buffer.from(at.name).toString('hex')}2f${path}`
      seen.set(path, `${String.fromCharCode(entry.type)} ${entry.size} ${entry.mtimeSec}`)
    })
    const letters = { dir: 'd', file: 'f', symlink: 'l', char: 'c', block: 'b', fifo: 'p', socket: 's' }
    const wanted = new Map<string, string>()
    for (const entry of readTruth(golden!, 'host-tricky-1')) {
      if (entry.path === '') continue
      const link = entry.same_file_as !== undefined && entry.same_file_as !== entry.path
      const seconds = BigInt(entry.mtime_ns) / 1_000_000_000n - (BigInt(entry.mtime_ns) % 1_000_000_000n < 0n ? 1n : 0n)
      wanted.set(entry.path, entry.type === 'file' && !link ? `f ${entry.size} ${seconds}` : `${link ? 'h' : letters[entry.type]} 0 0`)
    }
    expect(seen).toEqual(wanted)
  })
})

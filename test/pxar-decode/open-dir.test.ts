import { describe, expect, it } from 'vitest'
import { ChunkUnavailableError, FormatError, PbsfsError } from '#src/errors/errors.js'
import { PxarArchive } from '#src/pxar-decode/archive.js'
import type { DirTable } from '#src/pxar-decode/dir-table.js'
import { FLAG_LINKED_NAME, KIND_DIR, KIND_FILE, createRecord } from '#src/pxar-decode/entry-record.js'
import { MemoryStream, type MemoryStreamOptions } from '../support/memory-stream.js'
import {
  TYPE, bytes, dir, encodeArchive, file, filename, hardlink, item, statItem, symlink, u64, type EncodeOptions, type SourceNode,
} from '../support/pxar-encoder.js' // prettier-ignore

const namesOf = (table: DirTable): string[] => Array.from({ length: table.count }, (_, i) => Buffer.from(table.nameAt(i)).toString('latin1'))
const messagesOf = (table: DirTable): string[] => table.problems.map(({ error }) => error.message)

async function openRoot(children: readonly SourceNode[], options: EncodeOptions = {}, stream: MemoryStreamOptions = {}): Promise<DirTable> {
  const { meta, payload } = encodeArchive(dir('', children), options)
  const archive = await PxarArchive.open({
    meta: new MemoryStream(meta, stream),
    ...(payload === undefined ? {} : { payload: new MemoryStream(payload) }),
  })
  return archive.openDir(archive.rootEnd)
}

/** `bent` stands between two good files: it must be missing, they must not. */
async function expectDropped(bent: SourceNode, message: RegExp, reportedName: string | undefined, options: EncodeOptions = {}): Promise<void> {
  for (const split of [false, true]) {
    const table = await openRoot([file('a', 'first'), bent, file('z', 'last')], { split, ...options })
    expect(namesOf(table)).toEqual(['a', 'z'])
    expect(table.find(bytes('a'))).toBe(0)
    expect(table.find(bytes('z'))).toBe(1)
    expect(table.find(bent.name)).toBe(-1)
    expect(table.problemCount).toBe(1)
    expect(messagesOf(table)[0]).toMatch(message)
    expect(table.problems[0]!.error).toBeInstanceOf(PbsfsError)
    const { name } = table.problems[0]!
    expect(name === undefined ? undefined : Buffer.from(name).toString('latin1')).toBe(reportedName)
  }
}

describe('a hostile name costs its entry', () => {
  it.each([
    ['empty', '', /the name is empty/],
    ['.', '.', /the name is '\.'/],
    ['..', '..', /the name is '\.\.'/],
    ['with a slash', 'b/c', /'\/' inside/],
    ['only a slash', '/', /'\/' inside/],
    ['with NUL inside', 'b\0c', /NUL inside the name/],
    ['of 256 bytes', 'b'.repeat(256), /a name of 256 bytes/],
    ['of 4096 bytes', 'b'.repeat(4096), /a name of 4096 bytes/],
  ])('%s', async (_, name, message) => {
    const reported = name === '' ? '' : name.slice(0, 256)
    // The reader of a name that is empty sees where it is, not what it is.
    if (name === '') {
      const table = await openRoot([file('a', ''), file('', ''), file('z', '')])
      expect(namesOf(table)).toEqual(['a', 'z'])
      expect(messagesOf(table)[0]).toMatch(message)
    } else {
      await expectDropped(file(name, 'x'), message, reported)
    }
  })

  it('a name of 255 bytes is served', async () => {
    expect(namesOf(await openRoot([file('b'.repeat(255))]))).toEqual(['b'.repeat(255)])
  })

  it('a name without NUL', async () => {
    await expectDropped(file('b', 'x', { bend: { filename: item(TYPE.filename, bytes('bb')) } }), /does not end in NUL/, 'b')
  })

  it('a FILENAME above its cap, with the size of a whole archive', async () => {
    const long = Buffer.concat([bytes('b'.repeat(5000)), Buffer.alloc(1)])
    await expectDropped(file('b', 'x', { bend: { filename: item(TYPE.filename, long) } }), /FILENAME at offset \d+: size/, undefined)
    const huge = Buffer.concat([u64(TYPE.filename, 2n ** 63n), bytes('b\0')])
    await expectDropped(file('b', 'x', { bend: { filename: huge } }), /FILENAME at offset \d+: size/, undefined)
  })

  it('not a FILENAME at all', async () => {
    await expectDropped(file('b', 'x', { bend: { filename: item(0x1234n, bytes('b\0')) } }), /an entry does not start here/, undefined)
  })
})

describe('a bad item costs its entry', () => {
  const mode = (type: number): bigint => BigInt(type | 0o644)
  const bodyOf = (type: number, ...items: Buffer[]): Buffer => Buffer.concat([statItem({}, mode(type)), ...items])
  const withBody = (body: Buffer): SourceNode => file('b', '', { bend: { body } })

  it.each<[string, Buffer, RegExp]>([
    ['unknown item', bodyOf(0o100000, item(0x1122334455667788n)), /0x1122334455667788 where PAYLOAD must be/],
    ['ENTRY of 48 bytes', Buffer.concat([u64(TYPE.entry, 48), Buffer.alloc(32)]), /ENTRY at offset \d+: size 48/],
    ['ENTRY_V1 of 56 bytes', Buffer.concat([u64(TYPE.entryV1, 56), Buffer.alloc(40)]), /ENTRY_V1 at offset \d+: size 56/],
    ['no ENTRY', item(TYPE.payload, bytes('x')), /PAYLOAD where ENTRY must be/],
    ['header size 15', Buffer.concat([u64(TYPE.entry, 15), Buffer.alloc(40)]), /size 15/],
    ['header size 0', Buffer.concat([u64(TYPE.entry, 0), Buffer.alloc(40)]), /size 0/],
    ['header size 2^64-1', Buffer.concat([u64(TYPE.entry, 2n ** 64n - 1n), Buffer.alloc(40)]), /size -1/],
    ['no file type in the mode', bodyOf(0, item(TYPE.payload)), /has no file type/],
    ['mode above 16 bits', Buffer.concat([statItem({}, 0x1_81a4n), item(TYPE.payload)]), /mode has unknown bits/],
    ['mode above 32 bits', Buffer.concat([statItem({}, 0x1_0000_81a4n), item(TYPE.payload)]), /mode has unknown bits/],
    ['a whole second of nanoseconds', Buffer.concat([statItem({ mtimeNsec: 1_000_000_000 }, mode(0o100000)), item(TYPE.payload)]), /nanoseconds/],
    ['file without content', bodyOf(0o100000), /where PAYLOAD must be/],
    ['file with symlink target', bodyOf(0o100000, item(TYPE.symlink, bytes('x\0'))), /SYMLINK where PAYLOAD must be/],
    ['symlink without target', bodyOf(0o120000), /where SYMLINK must be/],
    ['symlink with content', bodyOf(0o120000, item(TYPE.payload, bytes('x'))), /PAYLOAD where SYMLINK must be/],
    ['symlink above its cap', bodyOf(0o120000, item(TYPE.symlink, Buffer.alloc(4098, 1))), /SYMLINK at offset \d+: size/],
    ['symlink without even a NUL', bodyOf(0o120000, item(TYPE.symlink)), /SYMLINK at offset \d+: size 16/],
    ['device without number', bodyOf(0o020000), /where DEVICE must be/],
    ['device of 15 bytes', bodyOf(0o060000, item(TYPE.device, Buffer.alloc(15))), /DEVICE at offset \d+: size 31/],
    ['device number above 32 bits', bodyOf(0o020000, item(TYPE.device, u64(2n ** 32n, 1))), /above 32 bits/],
    ['fifo with content', bodyOf(0o010000, item(TYPE.payload, bytes('x'))), /PAYLOAD where FILENAME or GOODBYE must be/],
    ['socket with device number', bodyOf(0o140000, item(TYPE.device, u64(1, 1))), /DEVICE where FILENAME or GOODBYE must be/],
    ['directory with content', bodyOf(0o040000, item(TYPE.payload, bytes('x'))), /PAYLOAD where FILENAME or GOODBYE must be/],
    ['reference of 15 bytes', bodyOf(0o100000, item(TYPE.payloadRef, Buffer.alloc(15))), /PAYLOAD_REF at offset \d+: size/],
    ['reference above 2^53', bodyOf(0o100000, item(TYPE.payloadRef, u64(2n ** 60n, 1))), /above 2\^53-1/],
    ['ACL_USER of 24 bytes', bodyOf(0o100000, item(TYPE.aclUser, Buffer.alloc(24)), item(TYPE.payload)), /ACL_USER at offset \d+: size 40/],
    ['ACL_GROUP_OBJ of 16 bytes', bodyOf(0o100000, item(TYPE.aclGroupObj, Buffer.alloc(16)), item(TYPE.payload)), /ACL_GROUP_OBJ at offset \d+: size 32/],
    ['ACL_DEFAULT of 24 bytes', bodyOf(0o100000, item(TYPE.aclDefault, Buffer.alloc(24)), item(TYPE.payload)), /ACL_DEFAULT at offset \d+: size 40/],
    ['QUOTA_PROJID of 4 bytes', bodyOf(0o100000, item(TYPE.quotaProjid, Buffer.alloc(4)), item(TYPE.payload)), /QUOTA_PROJID at offset \d+: size 20/],
    ['two ACL_GROUP_OBJ', bodyOf(0o100000, item(TYPE.aclGroupObj, u64(1)), item(TYPE.aclGroupObj, u64(1)), item(TYPE.payload)), /occurs twice/],
    ['two FCAPS', bodyOf(0o100000, item(TYPE.fcaps, u64(1)), item(TYPE.fcaps, u64(1)), item(TYPE.payload)), /occurs twice/],
    ['two QUOTA_PROJID', bodyOf(0o100000, item(TYPE.quotaProjid, u64(1)), item(TYPE.quotaProjid, u64(1)), item(TYPE.payload)), /occurs twice/],
    ['two ACL_DEFAULT', bodyOf(0o100000, item(TYPE.aclDefault, u64(1, 1, 1, 1)), item(TYPE.aclDefault, u64(1, 1, 1, 1)), item(TYPE.payload)), /occurs twice/],
    ['XATTR above its cap', bodyOf(0o100000, item(TYPE.xattr, Buffer.alloc(65792, 1)), item(TYPE.payload)), /XATTR at offset \d+: size/],
    ['more attributes than 1 MiB', bodyOf(0o100000, ...Array.from({ length: 17 }, () => item(TYPE.xattr, Buffer.alloc(65700, 1))), item(TYPE.payload)), /too many attributes/],
    ['more ACL items than any ACL has', bodyOf(0o100000, ...Array.from({ length: 16385 }, (_, i) => item(TYPE.aclUser, u64(i, 1))), item(TYPE.payload)), /too many ACL items/],
    ['a payload marker', bodyOf(0o100000, item(TYPE.payloadTail)), /PAYLOAD_TAIL_MARKER where PAYLOAD must be/],
    ['a version inside', item(TYPE.formatVersion, u64(2)), /FORMAT_VERSION where ENTRY must be/],
  ])('%s', async (_, body, message) => {
    await expectDropped(withBody(body), message, 'b')
  })

  it('a second terminal item', async () => {
    const ref = item(TYPE.payloadRef, u64(16, 5))
    const table = await openRoot([file('a', 'first'), file('b', 'x', { bend: { after: ref } }), file('z')], { split: true })
    expect(namesOf(table)).toEqual(['a', 'z'])
    expect(messagesOf(table)[0]).toMatch(/PAYLOAD_REF at offset \d+: an entry has ended here/)
    const classic = await openRoot([file('a', 'first'), file('b', 'x', { bend: { after: item(TYPE.payload, bytes('y')) } }), file('z')])
    expect(namesOf(classic)).toEqual(['a', 'z'])
    expect(messagesOf(classic)[0]).toMatch(/the extent is not that of the entry/)
  })

  it('content that goes on past the directory', async () => {
    const body = bodyOf(0o100000, u64(TYPE.payload, 2n ** 40n))
    await expectDropped(withBody(body), /goes on past offset/, 'b')
  })
})

it('a row with a wrong hash costs nothing: its entry is found by its name', async () => {
  for (const split of [false, true]) {
    const table = await openRoot([file('a', 'first'), file('b', 'x', { bend: { hash: 1n } }), file('z', 'last')], { split })
    expect(namesOf(table)).toEqual(['a', 'b', 'z'])
    expect(table.find(Buffer.from('b'))).toBe(1)
  }
})

describe('a bad row costs its entry', () => {
  it.each<[string, SourceNode, RegExp]>([
    ['distance 0', file('b', 'x', { bend: { distance: 0n } }), /points outside its directory/],
    ['distance before the directory', file('b', 'x', { bend: { distance: 2000n } }), /points outside its directory/],
    ['distance of 2^64-1', file('b', 'x', { bend: { distance: 2n ** 64n - 1n } }), /points outside its directory/],
  ])('%s', async (_, bent, message) => {
    for (const split of [false, true]) {
      const table = await openRoot([file('a', 'first'), bent, file('z', 'last')], { split })
      expect(namesOf(table)).toEqual(['a', 'z'])
      expect(messagesOf(table)[0]).toMatch(message)
    }
  })

  it('points into the middle of an entry', async () => {
    const table = await openRoot([file('a', 'first'), file('b', 'x', { bend: { distance: 50n, extent: 20n } }), file('z', 'last')])
    expect(namesOf(table)).toEqual(['a', 'z'])
    expect(messagesOf(table)[0]).toMatch(/an entry does not start here/)
  })

  it('points at an entry that lies inside the content of another', async () => {
    const hidden = Buffer.concat([filename(bytes('b')), statItem({}, 0o100644n), item(TYPE.payload, bytes('evil'))])
    const { meta, places } = encodeArchive(dir('', [file('a', hidden)]))
    const inside = [...places.values()][0]! + 18 + 56 + 16
    const root = dir('', [file('a', hidden), file('b', '', { bend: { distance: 0n } })])
    const probe = encodeArchive(root).meta
    // The table starts behind both; the second row is bent to the hidden entry.
    const table = probe.length - 16 - 24 * 3
    expect(meta.length).toBeGreaterThan(inside)
    const bent = encodeArchive(dir('', [root.children[0]!, file('b', '', { bend: { distance: BigInt(table - inside), extent: BigInt(hidden.length) } })])).meta
    const archive = await PxarArchive.open({ meta: new MemoryStream(bent) })
    const opened = await archive.openDir(archive.rootEnd)
    expect(namesOf(opened)).toEqual(['a'])
    expect(messagesOf(opened)[0]).toMatch(/lies inside another entry/)
  })

  it('two rows for one entry', async () => {
    const { meta } = encodeArchive(dir('', [file('a', ''), file('a', '', { bend: { distance: 0n } })]))
    const table = meta.length - 16 - 24 * 3
    // Both distances made equal.
    const rows = table + 16
    const first = Math.max(Number(meta.readBigUInt64LE(rows + 8)), Number(meta.readBigUInt64LE(rows + 32)))
    meta.writeBigUInt64LE(BigInt(first), rows + 8)
    meta.writeBigUInt64LE(BigInt(first), rows + 32)
    const archive = await PxarArchive.open({ meta: new MemoryStream(meta) })
    const opened = await archive.openDir(archive.rootEnd)
    expect(namesOf(opened)).toEqual(['a'])
    expect(messagesOf(opened)).toEqual([expect.stringMatching(/a second row for the same entry/)])
  })

  it('two entries of one name: the first in the archive is kept, listed and found', async () => {
    for (const split of [false, true]) {
      const table = await openRoot([file('a', '1'), file('b', '22'), file('b', '333'), file('c', '4'), file('a', '55555')], { split })
      expect(namesOf(table)).toEqual(['a', 'b', 'c'])
      expect(messagesOf(table)).toEqual([expect.stringMatching(/a second entry of the same name/), expect.stringMatching(/a second entry of the same name/)])
      const record = createRecord()
      const sizes = ['a', 'b', 'c'].map((name) => {
        table.entryAt(table.find(bytes(name)), record)
        return record.size
      })
      expect(sizes).toEqual([1, 2, 1])
    }
  })

  it('an extent that leaves the directory: ignored for files of split archives, else the end of the entry', async () => {
    const far = { extent: 2n ** 50n }
    expect(namesOf(await openRoot([file('b', 'x', { bend: far }), file('z')], { split: true }))).toEqual(['b', 'z'])
    expect(namesOf(await openRoot([file('b', 'x', { bend: { extent: 2n ** 64n - 1n } }), file('z')], { split: true }))).toEqual(['b', 'z'])
    for (const bent of [file('b', 'x', { bend: far }), symlink('b', 'x', { bend: far }), dir('b', [], { bend: far })]) {
      expect(namesOf(await openRoot([bent, file('z')]))).toEqual(['z'])
    }
    for (const bent of [symlink('b', 'x', { bend: far }), dir('b', [], { bend: far }), dir('b', [], { bend: { extent: 20n } })]) {
      expect(namesOf(await openRoot([bent, file('z')], { split: true }))).toEqual(['z'])
    }
  })

  it('names in no order are all found', async () => {
    const names = ['m', 'b', 'zz', 'a', 'c', '.pxarexclude-cli', 'bb', '\xff', '\x01']
    const table = await openRoot(names.map((name) => file(name, name)))
    expect(namesOf(table)).toEqual(names)
    names.forEach((name, i) => expect(table.find(bytes(name))).toBe(i))
    for (const missing of ['', 'aa', 'm\0', 'z', 'zzz']) expect(table.find(bytes(missing))).toBe(-1)
  })

  it('many problems are counted, and the first hundred kept', async () => {
    const children = Array.from({ length: 300 }, (_, i) => file(`f${String(i).padStart(3, '0')}`, '', i % 3 === 0 ? {} : { bend: { distance: 0n } }))
    const table = await openRoot(children)
    expect(table.count).toBe(100)
    expect(table.problemCount).toBe(200)
    expect(table.problems.length).toBe(100)
  })
})

describe('hard links', () => {
  it('show their target', async () => {
    const first = file('a', 'content', { uid: 7, xattrs: [['user.x', bytes('1')]] })
    for (const split of [false, true]) {
      const table = await openRoot([dir('0', [first]), hardlink('l1', first, '0/a'), hardlink('l2', first, '0/a'), file('z')], { split })
      expect(namesOf(table)).toEqual(['0', 'l1', 'l2', 'z'])
      const [one, two] = [createRecord(), createRecord()]
      table.entryAt(1, one)
      table.entryAt(2, two)
      expect(two).toEqual(one)
      expect(one).toMatchObject({ kind: KIND_FILE, uid: 7, size: 7, linkTarget: 0 })
      expect(one.flags & FLAG_LINKED_NAME).toBe(FLAG_LINKED_NAME)
      expect(one.fileOfs).toBeLessThan(table.fileOfsAt(3))
    }
  })

  const target = file('a', 'x')
  const folder = dir('a')
  const link = symlink('a', 'x')
  const chain = hardlink('h', target, 'a')
  it.each<[string, SourceNode[], SourceNode, RegExp]>([
    ['distance 0', [target], hardlink('b', target, 'a', { delta: 0n }), /not an earlier entry/],
    ['before the archive', [target], hardlink('b', target, 'a', { delta: 5000n }), /not an earlier entry/],
    ['distance 2^64-1 (a later entry)', [target], hardlink('b', target, 'a', { delta: 2n ** 64n - 1n }), /not an earlier entry/],
    ['to no entry', [target], hardlink('b', target, 'a', { delta: 60n }), /an entry does not start here/],
    ['to a directory', [folder], hardlink('b', folder, 'a'), /not a regular file/],
    ['to a symlink', [link], hardlink('b', link, 'a'), /not a regular file/],
    ['to a hard link', [target, chain], hardlink('i', chain, 'h'), /not a regular file/],
    ['without NUL', [target], file('b', '', { bend: { body: item(TYPE.hardlink, Buffer.concat([u64(1), bytes('a')])) } }), /does not end in NUL/],
    ['of 8 bytes', [target], file('b', '', { bend: { body: item(TYPE.hardlink, u64(1)) } }), /HARDLINK at offset \d+: size 24/],
    ['above its cap', [target], file('b', '', { bend: { body: item(TYPE.hardlink, Buffer.alloc(4106)) } }), /HARDLINK at offset \d+: size/],
  ])('%s: costs the link', async (_, before, bent, message) => {
    for (const split of [false, true]) {
      const table = await openRoot([...before, bent, file('z')], { split })
      expect(namesOf(table)).toEqual([...before.map(({ name }) => Buffer.from(name).toString()), 'z'])
      expect(messagesOf(table)).toEqual([expect.stringMatching(message)])
      expect(Buffer.from(table.problems[0]!.name!).toString()).toBe(Buffer.from(bent.name).toString())
    }
  })
})

describe('damage of the table throws', () => {
  const build = (): Buffer => encodeArchive(dir('', [file('a', '1'), dir('d', [file('x')]), file('z', '2')])).meta
  const tail = -24

  it.each<[string, (meta: Buffer) => void, RegExp]>([
    ['no tail marker', (meta) => void (meta[meta.length + tail]! ^= 1), /tail marker is missing/],
    ['size below 40', (meta) => void meta.writeBigUInt64LE(16n, meta.length + tail + 16), /table size 16/],
    ['size not 16 + 24 n', (meta) => void meta.writeBigUInt64LE(41n, meta.length + tail + 16), /table size 41/],
    ['size above the archive', (meta) => void meta.writeBigUInt64LE(16n + 24n * 1000n, meta.length + tail + 16), /table size/],
    ['size of 2^63', (meta) => void meta.writeBigUInt64LE(2n ** 63n, meta.length + tail + 16), /table size/],
    ['more rows than there are', (meta) => void meta.writeBigUInt64LE(16n + 24n * 8n, meta.length + tail + 16), /before the archive/],
    ['start before the archive', (meta) => void meta.writeBigUInt64LE(100_000n, meta.length + tail + 8), /before the archive/],
    ['start of 2^63', (meta) => void meta.writeBigUInt64LE(2n ** 63n, meta.length + tail + 8), /before the archive/],
    ['another start', (meta) => void meta.writeBigUInt64LE(meta.readBigUInt64LE(meta.length + tail + 8) - 1n, meta.length + tail + 8), /must start at offset 0/],
    ['no GOODBYE header', (meta) => void (meta[meta.length - 16 - 24 * 4]! ^= 1), /header and tail row disagree/],
    ['another size in the header', (meta) => void (meta[meta.length - 16 - 24 * 4 + 8]! ^= 8), /header and tail row disagree/],
  ])('%s', async (_, damage, message) => {
    const meta = build()
    damage(meta)
    const archive = await PxarArchive.open({ meta: new MemoryStream(meta) })
    await expect(archive.openDir(archive.rootEnd)).rejects.toThrow(message)
    await expect(archive.openDir(archive.rootEnd)).rejects.toThrow(FormatError)
  })

  it('more rows than the entries can be', async () => {
    // An empty directory whose table claims rows in place of its head.
    const meta = encodeArchive(dir('', [file('a')])).meta
    const size = 16n + 24n * 4n
    meta.writeBigUInt64LE(size, meta.length - 8)
    meta.writeBigUInt64LE(BigInt(meta.length) - size, meta.length - 16)
    const archive = await PxarArchive.open({ meta: new MemoryStream(meta) })
    await expect(archive.openDir(archive.rootEnd)).rejects.toThrow(/rows for/)
  })

  it.each([0, -1, 39, 40, 0.5, NaN, 2 ** 53, 1e9])('no table ends at %s', async (end) => {
    const archive = await PxarArchive.open({ meta: new MemoryStream(build()) })
    await expect(archive.openDir(end)).rejects.toBeInstanceOf(PbsfsError)
    await expect(archive.readDirEntry(end)).rejects.toBeInstanceOf(PbsfsError)
  })

  it('a directory row that leads to the table of another directory', async () => {
    const inner = dir('inner', [file('x')])
    const root = dir('', [dir('d', [inner, file('y')]), file('z')])
    const { meta } = encodeArchive(root)
    const archive = await PxarArchive.open({ meta: new MemoryStream(meta) })
    const table = await archive.openDir(archive.rootEnd)
    const d = createRecord()
    table.entryAt(0, d)
    expect(d.kind).toBe(KIND_DIR)
    const within = createRecord()
    const deeper = await archive.openDir(d.end, d.entryOfs)
    deeper.entryAt(0, within)
    await expect(archive.openDir(within.end, d.entryOfs)).rejects.toThrow(/belongs to another directory/)
  })

  it('a circle is not possible: a directory ends before its parent', async () => {
    const { meta } = encodeArchive(dir('', [dir('d', [file('x')]), file('z')]))
    const archive = await PxarArchive.open({ meta: new MemoryStream(meta) })
    const size = BigInt(meta.length)
    // The row of `d` made to end where the root ends.
    const rows = meta.length - 24 * 3
    for (const row of [rows, rows + 24]) {
      const copy = Buffer.from(meta)
      const start = BigInt(meta.length - 16 - 24 * 3) - copy.readBigUInt64LE(row + 8)
      copy.writeBigUInt64LE(size - start, row + 16)
      const bent = await PxarArchive.open({ meta: new MemoryStream(copy) })
      expect((await bent.openDir(bent.rootEnd)).count).toBe(1)
    }
    expect((await archive.openDir(archive.rootEnd)).count).toBe(2)
  })
})

describe('bytes that cannot be read', () => {
  const children = Array.from({ length: 3000 }, (_, i) => file(`f${String(i).padStart(5, '0')}`, 'x'.repeat(10)))
  const missing = new ChunkUnavailableError('chunk abc is missing', { digest: 'abc' })

  it.each([
    ['in the middle', 100_000, 200_000],
    ['in the middle, small', 100_000, 100_001],
    ['at the start', 100, 150_000],
    ['up to the table', 300_000, Infinity],
  ])('cost only their entries: %s', async (_, from, to) => {
    const { meta, payload, places } = encodeArchive(dir('', children), { split: true })
    const table = meta.length - 16 - 24 * 3001
    const until = Math.min(to, table)
    const stream = new MemoryStream(meta, {
      peeks: false,
      onRead: (offset, length) => {
        if (offset < until && offset + length > from && !(to === Infinity && offset >= table - 16)) throw missing
      },
    })
    const archive = await PxarArchive.open({ meta: stream, payload: new MemoryStream(payload!) })
    stream.reads.length = 0
    const opened = await archive.openDir(archive.rootEnd)
    const starts = [...places.values()]
    const readable = children.filter((_node, i) => starts[i]! >= until || (starts[i + 1] ?? table) <= from)
    expect(namesOf(opened)).toEqual(readable.map(({ name }) => Buffer.from(name).toString()))
    expect(opened.unreadable).toBe(3000 - opened.count)
    expect(opened.problemCount).toBe(opened.unreadable)
    expect(opened.problems[0]!.error.cause).toBe(missing)
    // Far fewer tries than entries.
    expect(stream.reads.length).toBeLessThan(80)
  })

  it('of a link target cost the link', async () => {
    const first = file('a', 'x')
    const filler = file('0', '', { xattrs: Array.from({ length: 20 }, (_, i): [string, Uint8Array] => [`user.${i}`, Buffer.alloc(4000)]) })
    const { meta, places } = encodeArchive(dir('', [dir('0', [filler, first]), hardlink('b', first, '0/a'), file('z')]), { split: true })
    const start = places.get(first)!
    const stream = new MemoryStream(meta, {
      peeks: false,
      onRead: (offset, length) => {
        if (offset <= start && offset + length > start) throw missing
      },
    })
    const archive = await PxarArchive.open({ meta: stream })
    const table = await archive.openDir(archive.rootEnd)
    expect(namesOf(table)).toEqual(['0', 'z'])
    expect(messagesOf(table)).toEqual([expect.stringMatching(/its target at offset \d+ is unusable: chunk abc is missing/)])
    expect(table.problems[0]!.error.cause).toBe(missing)
    expect(table.unreadable).toBe(1)
  })
})

describe('reads', () => {
  it('a listing of a classic archive reads no large content', async () => {
    const children = Array.from({ length: 20 }, (_, i) => file(`f${String(i).padStart(2, '0')}`, Buffer.alloc(200_000, i)))
    const { meta } = encodeArchive(dir('', children))
    const stream = new MemoryStream(meta, { peeks: false })
    const archive = await PxarArchive.open({ meta: stream })
    stream.reads.length = 0
    expect((await archive.openDir(archive.rootEnd)).count).toBe(20)
    expect(stream.reads.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(40_000)
    expect(stream.reads.every(({ length }) => length <= 4096)).toBe(true)
  })

  it('a listing of a split archive is a few large reads, in ascending order', async () => {
    const children = Array.from({ length: 20_000 }, (_, i) => file(`f${String(i).padStart(5, '0')}`, 'x'))
    const { meta, payload } = encodeArchive(dir('', children), { split: true })
    const stream = new MemoryStream(meta, { peeks: false })
    const archive = await PxarArchive.open({ meta: stream, payload: new MemoryStream(payload!) })
    stream.reads.length = 0
    const opened = await archive.openDir(archive.rootEnd)
    expect(opened.count).toBe(20_000)
    expect(stream.reads.length).toBeLessThan(10)
    expect(stream.reads.every(({ length }) => length <= 1100 * 1024)).toBe(true)
    expect(opened.byteLength).toBeLessThan(20_000 * 100)
  })

  it('a listing does not go below its sub-directories', async () => {
    const deep = dir('d', Array.from({ length: 2000 }, (_, i) => file(`f${String(i).padStart(5, '0')}`, 'x')))
    const { meta, payload } = encodeArchive(dir('', [file('a', 'x'), deep, file('z', 'x')]), { split: true })
    const stream = new MemoryStream(meta, { peeks: false })
    const archive = await PxarArchive.open({ meta: stream, payload: new MemoryStream(payload!) })
    stream.reads.length = 0
    expect(namesOf(await archive.openDir(archive.rootEnd))).toEqual(['a', 'd', 'z'])
    expect(stream.reads.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(20_000)
  })

  it('an entry longer than its window', async () => {
    const big = file('b', 'x', { xattrs: Array.from({ length: 12 }, (_, i): [string, Uint8Array] => [`user.${i}`, Buffer.alloc(60_000, i)]) })
    for (const options of [{}, { peeks: false }, { borders: [1000, 100_000, 300_000] }]) {
      for (const split of [false, true]) {
        const table = await openRoot([file('a', 'x'), big, file('c', 'x')], { split }, options)
        expect(table.problems).toEqual([])
        expect(namesOf(table)).toEqual(['a', 'b', 'c'])
      }
    }
  })
})

it('the stream is told a few pieces ahead what will be read', async () => {
  const children = Array.from({ length: 30 }, (_, i) => file(`f${String(i).padStart(2, '0')}`, Buffer.alloc(50_000)))
  const { meta, places } = encodeArchive(dir('', children))
  const PIECE = 120_000
  const events: string[] = []
  class Telling extends MemoryStream {
    expect(offset: number): number {
      events.push(`tell ${Math.floor(offset / PIECE)}`)
      return (Math.floor(offset / PIECE) + 1) * PIECE
    }
  }
  const stream = new Telling(meta, { peeks: false, onRead: (offset) => events.push(`read ${Math.floor(offset / PIECE)}`) })
  const archive = await PxarArchive.open({ meta: stream })
  events.length = 0
  expect((await archive.openDir(archive.rootEnd)).count).toBe(30)
  const pieces = [...new Set([...places.values()].map((place) => Math.floor(place / PIECE)))]
  expect([...new Set(events.filter((event) => event.startsWith('tell')))]).toEqual(pieces.map((piece) => `tell ${piece}`))
  const at = (event: string): number => events.indexOf(event)
  for (const piece of pieces.slice(4)) {
    expect(at(`tell ${piece}`)).toBeLessThan(at(`read ${piece - 1}`))
    expect(at(`tell ${piece}`)).toBeGreaterThan(at(`tell ${piece - 4}`))
  }
})

it.each([true, false])('a stream in pieces gives the same directory, in memory or not (%s), and is not copied where it is', async (cold) => {
  const children = Array.from({ length: 60 }, (_, i) => file(`f${String(i).padStart(2, '0')}`, Buffer.alloc((i * 977) % 9000)))
  const { meta } = encodeArchive(dir('', [...children, symlink('l', 'x'), hardlink('m', children[3]!, 'f03')]))
  const whole = await PxarArchive.open({ meta: new MemoryStream(meta) })
  const expected = await whole.openDir(whole.rootEnd)
  for (const size of [300, 1500, 10_000, 70_000]) {
    const borders = Array.from({ length: Math.ceil(meta.length / size) }, (_, i) => (i + 1) * size)
    const loaded = new Set<number>()
    class Pieces extends MemoryStream {
      expect(offset: number): number {
        return Math.min(meta.length, (Math.floor(offset / size) + 1) * size)
      }
      override peek(offset: number, length: number): Uint8Array | undefined {
        return cold && !loaded.has(Math.floor(offset / size)) ? undefined : super.peek(offset, length)
      }
    }
    const stream = new Pieces(meta, { borders, onRead: (offset) => void loaded.add(Math.floor(offset / size)) })
    const archive = await PxarArchive.open({ meta: stream })
    const table = await archive.openDir(archive.rootEnd)
    expect(namesOf(table)).toEqual(namesOf(expected))
    const [a, b] = [createRecord(), createRecord()]
    for (let i = 0; i < table.count; i++) {
      table.entryAt(i, a)
      expected.entryAt(i, b)
      expect(a).toEqual(b)
    }
    if (size >= 10_000) expect(stream.reads.every(({ length }) => length <= 5000)).toBe(true)
  }
})

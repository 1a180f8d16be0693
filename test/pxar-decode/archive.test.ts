import { describe, expect, it } from 'vitest'
import { ChunkUnavailableError, FormatError, SourceError, TruncatedError, UnsupportedError } from '#src/errors/errors.js'
import { PxarArchive, type MaybePromise } from '#src/pxar-decode/archive.js'
import { FLAG_PAYLOAD_REF, createRecord, type EntryRecord } from '#src/pxar-decode/entry-record.js'
import { MemoryStream, type MemoryStreamOptions } from '../support/memory-stream.js'
import { TYPE, bytes, dir, encodeArchive, file, item, statItem, symlink, u64, type SourceNode } from '../support/pxar-encoder.js'

const open = (meta: Buffer, payload?: Buffer, options: MemoryStreamOptions = {}): Promise<PxarArchive> =>
  PxarArchive.open({ meta: new MemoryStream(meta, { name: 'x.mpxar' }), ...(payload === undefined ? {} : { payload: new MemoryStream(payload, { name: 'x.ppxar', ...options }) }) })

async function entry(archive: PxarArchive, name: string): Promise<EntryRecord> {
  const table = await archive.openDir(archive.rootEnd)
  const record = createRecord()
  table.entryAt(table.find(bytes(name)), record)
  return record
}
/** A synchronous throw and a rejection are the same to a caller that awaits. */
async function settle<T>(work: () => MaybePromise<T>): Promise<T> {
  return work()
}

describe('open', () => {
  const plain = encodeArchive(dir('', [file('a', 'x')]))

  it('version 1, with and without saying so; version 2 with PRELUDE', async () => {
    expect(await open(plain.meta)).toMatchObject({ version: 1, split: false, rootEntryOfs: 0 })
    const said = await open(encodeArchive(dir('', [file('a', 'x')]), { writeVersion: 1n }).meta)
    expect(said).toMatchObject({ version: 1, rootEntryOfs: 24 })
    expect((await said.openDir(said.rootEnd)).count).toBe(1)
    expect(await said.readPrelude()).toBeUndefined()
    const prelude = bytes('{"exclude-patterns":"/zero\\n"}')
    const split = await open(encodeArchive(dir('', [file('a', 'x')]), { split: true, prelude }).meta)
    expect(split).toMatchObject({ version: 2, split: true, rootEntryOfs: 24 + 16 + prelude.length })
    expect(Buffer.from((await split.readPrelude())!).equals(prelude)).toBe(true)
    const empty = await open(encodeArchive(dir('', []), { split: true, prelude: bytes('') }).meta)
    expect(empty.rootEntryOfs).toBe(40)
    expect(Buffer.from((await empty.readPrelude())!).length).toBe(0)
  })

  it('a PRELUDE above 1 MiB is stepped over and not loaded', async () => {
    const archive = await open(encodeArchive(dir('', [file('a', 'x')]), { split: true, prelude: Buffer.alloc(1024 * 1024 + 1) }).meta)
    expect((await archive.openDir(archive.rootEnd)).count).toBe(1)
    await expect(archive.readPrelude()).rejects.toThrow(/PRELUDE at offset 24: 1048577 bytes/)
  })

  it('the smallest archives', async () => {
    for (const v1 of [false, true]) {
      const { meta } = encodeArchive(dir('', [], { v1 }))
      expect(meta.length).toBe(v1 ? 88 : 96)
      const archive = await open(meta)
      expect((await archive.openDir(archive.rootEnd)).count).toBe(0)
      await expect(open(meta.subarray(1))).rejects.toThrow(v1 ? TruncatedError : FormatError)
    }
  })

  it('ENTRY_V1 has nanoseconds since the epoch, all 64 bits of them', async () => {
    const times: [bigint, number, number][] = [[0n, 0, 0], [1_700_000_000_123_456_789n, 1_700_000_000, 123_456_789], [2n ** 64n - 1n, 18_446_744_073, 709_551_615], [999_999_999n, 0, 999_999_999]]
    for (const [value, mtimeSec, mtimeNsec] of times) {
      const { meta } = encodeArchive(dir('', [], { v1: true }))
      meta.writeBigUInt64LE(value, 40)
      expect((await open(meta)).root).toMatchObject({ mtimeSec, mtimeNsec })
    }
  })

  it('times before the epoch; uninitialised padding', async () => {
    const { meta } = encodeArchive(dir('', [], { mtimeSec: -631_152_000, mtimeNsec: 1 }))
    meta.writeUInt32LE(0xdeadbeef, 52)
    expect((await open(meta)).root).toMatchObject({ mtimeSec: -631_152_000, mtimeNsec: 1 })
  })

  it.each<[string, Buffer, RegExp, new (...args: never[]) => Error]>([
    ['empty', Buffer.alloc(0), /goes on past offset 0/, TruncatedError],
    ['shorter than any archive', Buffer.alloc(87), /goes on past offset 87/, TruncatedError],
    ['something else', Buffer.alloc(500, 7), /not a pxar archive/, FormatError],
    ['version 3', encodeArchive(dir('', []), { writeVersion: 3n }).meta, /unknown format version 3/, UnsupportedError],
    ['version 2^63', encodeArchive(dir('', []), { writeVersion: 2n ** 63n }).meta, /unknown format version/, UnsupportedError],
    ['FORMAT_VERSION of another size', Buffer.concat([item(TYPE.formatVersion, u64(2, 2)), plain.meta]), /FORMAT_VERSION at offset 0: size 32/, FormatError],
    ['FORMAT_VERSION twice', Buffer.concat([item(TYPE.formatVersion, u64(2)), item(TYPE.formatVersion, u64(2)), plain.meta]), /FORMAT_VERSION where ENTRY must be/, FormatError],
    ['PRELUDE first', Buffer.concat([item(TYPE.prelude, u64(2)), plain.meta]), /not a pxar archive/, FormatError],
    ['PRELUDE twice', Buffer.concat([item(TYPE.formatVersion, u64(2)), item(TYPE.prelude), item(TYPE.prelude), plain.meta]), /PRELUDE where ENTRY must be/, FormatError],
    ['PRELUDE longer than the archive', Buffer.concat([item(TYPE.formatVersion, u64(2)), u64(TYPE.prelude, 2n ** 50n), plain.meta]), /PRELUDE at offset 24 goes on past/, TruncatedError],
    ['PRELUDE of size 3', Buffer.concat([item(TYPE.formatVersion, u64(2)), u64(TYPE.prelude, 3), plain.meta]), /PRELUDE at offset 24: size 3/, FormatError],
    ['root is a file', Buffer.concat([statItem({}, 0o100644n), item(TYPE.payload, Buffer.alloc(100))]), /the root is not a directory/, FormatError],
    ['root is a fifo', encodeArchive(dir('', [], { bend: { mode: 0o010644n } })).meta, /the root is not a directory/, FormatError],
  ])('%s', async (_, meta, message, type) => {
    await expect(open(meta)).rejects.toThrow(message)
    await expect(open(meta)).rejects.toBeInstanceOf(type)
  })
})

describe('content', () => {
  const children = [file('a', 'first'), file('b', 'second'), file('empty', '')]
  const { meta, payload } = encodeArchive(dir('', children), { split: true })

  it('is answered at once when the header is in memory, and checked once', async () => {
    const stream = new MemoryStream(payload!, { name: 'x.ppxar' })
    const archive = await PxarArchive.open({ meta: new MemoryStream(meta), payload: stream })
    const a = await entry(archive, 'a')
    // The first content of an archive also proves that this is a payload stream.
    await archive.contentOf(a)
    const b = archive.contentOf(await entry(archive, 'b'))
    expect(b).not.toBeInstanceOf(Promise)
    expect(b).toMatchObject({ stream, size: 6 })
    stream.peek = () => undefined
    stream.read = () => Promise.reject(new Error('not again'))
    expect(archive.contentOf(a)).toMatchObject({ start: 32, size: 5 })
    expect(await archive.contentOf(a)).toMatchObject({ size: 5 })
  })

  it('of an empty file', async () => {
    const archive = await open(meta, payload)
    expect(await archive.contentOf(await entry(archive, 'empty'))).toMatchObject({ size: 0 })
  })

  it('without payload archive: browsing works, content says why not', async () => {
    const archive = await open(meta)
    const a = await entry(archive, 'a')
    expect(a.size).toBe(5)
    await expect(settle(() => archive.contentOf(a))).rejects.toThrow(/payload archive not attached/)
    await expect(settle(() => archive.contentOf(a))).rejects.toThrow(UnsupportedError)
  })

  it('a reference in a classic archive', async () => {
    const bent = file('a', '', { bend: { body: Buffer.concat([statItem({}, 0o100644n), item(TYPE.payloadRef, u64(16, 5))]) } })
    const archive = await open(encodeArchive(dir('', [bent])).meta)
    const record = await entry(archive, 'a')
    await expect(settle(() => archive.contentOf(record))).rejects.toThrow(/a reference in an archive without payload stream/)
  })

  it('inline content of a split archive comes from the stream it stands in', async () => {
    const inline = Buffer.concat([statItem({}, 0o100644n), item(TYPE.payload, bytes('inline'))])
    const archive = await open(encodeArchive(dir('', [file('a', '', { bend: { body: inline } }), file('b', 'second')]), { split: true }).meta, payload)
    const place = await archive.contentOf(await entry(archive, 'a'))
    expect(place.stream).toBe(archive.meta)
    expect(Buffer.from(await place.stream.read(place.start, place.size)).toString()).toBe('inline')
  })

  const refTo = (offset: bigint | number, size: bigint | number): SourceNode =>
    file('r', '', { bend: { body: Buffer.concat([statItem({}, 0o100644n), item(TYPE.payloadRef, u64(offset, size))]) } })
  it.each<[string, SourceNode, RegExp]>([
    ['at 0', refTo(0, 5), /refers to the start marker/],
    ['at 15', refTo(15, 5), /refers to the start marker/],
    ['beside a header', refTo(17, 5), /no payload starts here/],
    ['at the tail marker', refTo(payload!.length - 16, 0), /no payload starts here/],
    ['another size', refTo(16, 4), /size differs from that of its reference/],
    ['beyond the end', refTo(16, 1000), /goes on past offset/],
    ['offset of 2^53-1', refTo(2n ** 53n - 1n, 1), /goes on past offset/],
    ['size of 2^53-1', refTo(16, 2n ** 53n - 1n), /goes on past offset/],
  ])('a bad reference costs that file: %s', async (_, node, message) => {
    for (const options of [{}, { peeks: false }]) {
      const archive = await open(encodeArchive(dir('', [file('a', 'first'), node]), { split: true }).meta, payload, options)
      const record = await entry(archive, 'r')
      await expect(settle(() => archive.contentOf(record))).rejects.toThrow(message)
      await expect(settle(() => archive.contentOf(record))).rejects.toThrow(message)
      expect(await settle(async () => archive.contentOf(await entry(archive, 'a')))).toMatchObject({ size: 5 })
    }
  })

  it('not a payload stream at all; too short for one', async () => {
    const wrong = Buffer.from(payload!)
    wrong[0]! ^= 1
    for (const stream of [wrong, Buffer.concat([u64(TYPE.payloadStart, 24), payload!.subarray(16)])]) {
      const archive = await open(meta, stream)
      const a = await entry(archive, 'a')
      await expect(settle(() => archive.contentOf(a))).rejects.toThrow(/this is not a payload stream/)
      await expect(settle(() => archive.contentOf(a))).rejects.toThrow(/this is not a payload stream/)
    }
    const archive = await open(meta, payload!.subarray(0, 20))
    const a = await entry(archive, 'a')
    await expect(settle(() => archive.contentOf(a))).rejects.toThrow(TruncatedError)
  })

  it('a start marker that cannot be read does not cost the files', async () => {
    const missing = new ChunkUnavailableError('chunk missing')
    const options = {
      peeks: false,
      onRead: (offset: number): void => {
        if (offset < 16) throw missing
      },
    }
    const archive = await open(meta, payload, options)
    expect(await archive.contentOf(await entry(archive, 'a'))).toMatchObject({ size: 5 })
  })

  it('a header that is lost does not cost the content, and is read again the next time', async () => {
    let broken = true
    const onRead = (): void => {
      if (broken) throw new ChunkUnavailableError('chunk missing')
    }
    const wrong = Buffer.from(payload!)
    wrong.writeBigUInt64LE(16n + 6n, 16 + 8)
    const archive = await open(meta, wrong, { peeks: false, onRead })
    const a = await entry(archive, 'a')
    expect(await archive.contentOf(a)).toMatchObject({ size: 5 })
    broken = false
    await expect(settle(() => archive.contentOf(a))).rejects.toThrow(/size differs/)
  })

  it('a header that cannot be read for another reason fails', async () => {
    const away = new SourceError('the disk is away', { code: 'ETIMEDOUT' })
    const archive = await open(meta, payload, {
      peeks: false,
      onRead: () => {
        throw away
      },
    })
    await expect(settle(async () => archive.contentOf(await entry(archive, 'a')))).rejects.toBe(away)
  })

  it('of something else than a file', async () => {
    const archive = await open(meta, payload)
    await expect(settle(() => archive.contentOf(archive.root))).rejects.toThrow(/not a regular file/)
  })
})

describe('readLink', () => {
  const read = async (node: SourceNode, options: MemoryStreamOptions = {}): Promise<string> => {
    const archive = await PxarArchive.open({ meta: new MemoryStream(encodeArchive(dir('', [node])).meta, options) })
    return Buffer.from(await archive.readLink(await entry(archive, 's'))).toString('latin1')
  }

  it.each(['a', '/etc/hostname', '../..', '\xff\xfe/', 'x'.repeat(4095), 'x'.repeat(4096)])('%s', async (target) => {
    expect(await read(symlink('s', target))).toBe(target)
    expect(await read(symlink('s', target), { peeks: false })).toBe(target)
    expect(await read(symlink('s', target), { borders: [150, 160, 1000] })).toBe(target)
  })

  const bent = (content: string): SourceNode => symlink('s', '', { bend: { body: Buffer.concat([statItem({}, 0o120777n), item(TYPE.symlink, bytes(content))]) } })
  it.each([['empty', '\0', /the target is empty/], ['without NUL', 'xyz', /does not end in NUL/], ['NUL inside', 'x\0y\0', /NUL inside the target/]])('%s', async (_, content, message) => {
    await expect(read(bent(content))).rejects.toThrow(message)
    await expect(read(bent(content), { peeks: false })).rejects.toThrow(FormatError)
  }) // prettier-ignore

  it('of something else', async () => {
    const archive = await open(encodeArchive(dir('', [])).meta)
    await expect(settle(() => archive.readLink(archive.root))).rejects.toThrow(/not a symlink/)
  })
})

describe('entries by offset', () => {
  it.each([-1, 1e9, NaN, 0.5, 2 ** 53])('no entry at %s', async (offset) => {
    const archive = await open(encodeArchive(dir('', [file('a', 'x')])).meta)
    await expect(archive.readEntry(offset)).rejects.toThrow(FormatError)
    expect(() => archive.peekEntry(offset, createRecord())).toThrow(FormatError)
  })

  it('peeks only at what is in memory', async () => {
    const { meta, places } = encodeArchive(dir('', [file('a', 'x')]))
    const archive = await PxarArchive.open({ meta: new MemoryStream(meta, { peeks: false }) })
    expect(archive.peekEntry([...places.values()][0]!, createRecord())).toBe(false)
    expect(archive).toMatchObject({ payload: undefined })
    expect((await archive.readEntry([...places.values()][0]!)).flags & FLAG_PAYLOAD_REF).toBe(0)
  })
})

import { describe, expect, it } from 'vitest'
import { FormatError } from '#src/errors/errors.js'
import { PxarArchive } from '#src/pxar-decode/archive.js'
import type { Xattr } from '#src/pxar-decode/attributes.js'
import { createRecord } from '#src/pxar-decode/entry-record.js'
import { MemoryStream, type MemoryStreamOptions } from '../support/memory-stream.js'
import { TYPE, bytes, dir, encodeArchive, file, item, u64, type Bend, type SourceStat } from '../support/pxar-encoder.js'

async function read(stat: SourceStat & { bend?: Bend }, options: MemoryStreamOptions = {}): Promise<[string, string][]> {
  const archive = await PxarArchive.open({ meta: new MemoryStream(encodeArchive(dir('', [file('a', 'x', stat)])).meta, options) })
  const table = await archive.openDir(archive.rootEnd)
  const record = createRecord()
  table.entryAt(0, record)
  const found = toText(await archive.attributes(record))
  expect(toText(await archive.attributes(record.entryOfs))).toEqual(found)
  const peeked = archive.peekAttributes(record)
  if (options.peeks === false) expect(peeked).toBeUndefined()
  else if (options.borders === undefined) expect(toText(peeked!)).toEqual(found)
  return found
}

function toText(attributes: readonly Xattr[]): [string, string][] {
  return attributes.map(({ name, value }) => [Buffer.from(name).toString('latin1'), Buffer.from(value).toString('latin1')])
}

describe('attributes', () => {
  it('none', async () => {
    expect(await read({})).toEqual([])
    expect(await read({ projid: 5n })).toEqual([])
  })

  it('as stored, then capabilities, then ACLs', async () => {
    const found = await read({ xattrs: [['user.b', bytes('2')], ['user.a', bytes('')], ['user.\xff', bytes('a\0b')]], fcaps: bytes('caps'), aclUsers: [[1, 7]], aclDefault: [7n, 5n, 5n, 7n] })
    expect(found.map(([name]) => name)).toEqual(['user.b', 'user.a', 'user.\xff', 'security.capability', 'system.posix_acl_access', 'system.posix_acl_default'])
    expect(found.slice(0, 4).map(([, value]) => value)).toEqual(['2', '', 'a\0b', 'caps'])
  })

  it('larger than the first read, across borders, and not in memory', async () => {
    const xattrs = Array.from({ length: 12 }, (_, i): [string, Uint8Array] => [`user.${i}`, Buffer.alloc(65_000, i)])
    for (const options of [{}, { peeks: false }, { borders: [100, 5000, 200_000] }]) {
      const found = await read({ xattrs }, options)
      expect(found).toEqual(xattrs.map(([name, value]) => [name, Buffer.from(value).toString('latin1')]))
    }
  })

  it('the first of two with one name', async () => {
    expect(await read({ xattrs: [['user.a', bytes('1')], ['user.a', bytes('2')], ['security.capability', bytes('x')]], fcaps: bytes('y') })).toEqual([['user.a', '1'], ['security.capability', 'x']])
  })

  it('an id above 32 bits makes the ACL invalid', async () => {
    expect(await read({ bend: { extra: item(TYPE.aclUser, u64(2n ** 32n + 5n, 7)) } })).toEqual([])
  })

  it('are copies', async () => {
    const { meta } = encodeArchive(dir('', [], { xattrs: [['user.a', bytes('value')]] }))
    const archive = await PxarArchive.open({ meta: new MemoryStream(meta) })
    const found = await archive.attributes(archive.root)
    meta.fill(0)
    expect(Buffer.from(found[0]!.value).toString()).toBe('value')
    expect(Buffer.from(found[0]!.name).toString()).toBe('user.a')
  })

  it.each([
    ['no NUL', item(TYPE.xattr, bytes('user.a')), /XATTR at offset 130: the name does not end in NUL/],
    ['no NUL, but one in the item behind', item(TYPE.xattr, bytes('')), /XATTR at offset 130: the name does not end in NUL/],
    ['empty name', item(TYPE.xattr, bytes('\0value')), /XATTR at offset 130: the name is empty/],
  ])('%s', async (_, extra, message) => {
    await expect(read({ bend: { extra } })).rejects.toThrow(message)
    await expect(read({ bend: { extra } })).rejects.toThrow(FormatError)
  })
})

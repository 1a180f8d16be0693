import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FormatError, isPbsfsError } from '#src/errors/errors.js'
import { archivesOf, findArchive } from '#src/source/archives.js'
import { JsonNumber, parseJson } from '#src/bytes/json.js'
import { parseManifest, type ManifestFile } from '#src/source/manifest.js'
import { decodeBlobFile } from '#src/blob/decode.js'
import { encodeBlob, encodeManifestJson } from '../support/datastore-writer.js'

const csum = 'ab'.repeat(32)
const file = (filename: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  filename, size: 5, csum, 'crypt-mode': 'none', ...more,
}) // prettier-ignore
const base = { 'backup-type': 'host', 'backup-id': 'web', 'backup-time': 1767312000, files: [file('root.pxar.didx')] }

const parse = (value: unknown): ReturnType<typeof parseManifest> => parseManifest(Buffer.from(JSON.stringify(value)), 'm')

function errorOf(action: () => unknown): Error {
  try {
    action()
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was thrown')
}

describe('JSON', () => {
  const json = (text: string): unknown => parseJson(Buffer.from(text), 'j')

  it('keeps numbers as they are written', () => {
    const value = json(' [0, -1, 1.50, 12345678901234567890, 1e3, -0] ') as JsonNumber[]
    expect(value.map((number) => number.text)).toEqual(['0', '-1', '1.50', '12345678901234567890', '1e3', '-0'])
    expect(value.map((number) => number.toSafeInteger())).toEqual([0, -1, undefined, undefined, undefined, -0])
    expect(new JsonNumber('9007199254740991').toSafeInteger()).toBe(2 ** 53 - 1)
    expect(new JsonNumber('9007199254740992').toSafeInteger()).toBeUndefined()
  })

  it('keeps the order of keys, also of those JavaScript treats in its own way', () => {
    expect([...(json('{"b":null,"1":true,"__proto__":{},"a":false}') as Map<string, unknown>).keys()]).toEqual(['b', '1', '__proto__', 'a'])
  })

  it.each([
    '', ' ', '{', '[', '[1,]', '{"a":1,}', '{"a" 1}', '{a:1}', "['a']", '01', '1.', '.5', '+1', '1e', 'nul', 'NaN', '"', '"\n"', '"\\x"',
    '"\\u12g4"', '"\\ud800"', '"\\udc00 "', '[1] 2', '{"a":1,"a":2}', '\ufeff[]', '"\u0000"', '[1 2]', '"\\', '"\\u12',
  ])('refuses %j', (text) => {
    expect(errorOf(() => json(text))).toBeInstanceOf(FormatError)
  }) // prettier-ignore

  it('refuses invalid UTF-8 and endless nesting', () => {
    expect(errorOf(() => parseJson(Buffer.from('"\xff"', 'latin1'), 'j'))).toBeInstanceOf(FormatError)
    expect(errorOf(() => json('['.repeat(100_000)))).toBeInstanceOf(FormatError)
    expect(errorOf(() => json('{"a":'.repeat(100_000)))).toBeInstanceOf(FormatError)
    expect(() => json('['.repeat(64) + ']'.repeat(64))).not.toThrow()
  })

  it('reads whatever JSON.stringify writes', () => {
    const plain = (value: unknown): unknown =>
      value instanceof JsonNumber
        ? Number(value.text)
        : value instanceof Map
          ? Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]))
          : Array.isArray(value)
            ? value.map(plain)
            : value
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4, stringUnit: 'grapheme' }), (value) => {
        const text = JSON.stringify(value)
        expect(JSON.stringify(plain(json(text)))).toBe(text)
      }),
    )
  })
})

describe('manifest', () => {
  it('reads everything there can be', () => {
    const upid = 'UPID:vm:000066C7:00018548:00000027:6B00C220:verify:golden:root@pam:'
    const manifest = parse({
      ...base,
      files: [file('root.pxar.didx', { 'crypt-mode': 'encrypt', csum: csum.toUpperCase() }), file('a.conf.blob', { 'crypt-mode': undefined })],
      signature: 'cd'.repeat(32),
      unknown: { deep: [1] },
      unprotected: {
        notes: 'one\ntwo',
        verify_state: { state: 'ok', upid },
        'key-fingerprint': 'AB:'.repeat(31) + 'AB',
        chunk_upload_stats: { count: 1 },
        other: [],
      },
    })
    expect(manifest).toEqual({
      backupType: 'host',
      backupId: 'web',
      backupTime: 1767312000,
      files: [
        { filename: 'root.pxar.didx', cryptMode: 'encrypt', size: 5, csum },
        { filename: 'a.conf.blob', cryptMode: 'none', size: 5, csum },
      ],
      signature: 'cd'.repeat(32),
      notes: 'one\ntwo',
      verify: { state: 'ok', upid, time: 0x6b00c220 },
      keyFingerprint: csum,
      problems: [],
    })
    expect(structuredClone(manifest)).toEqual(manifest)
  })

  it('does without what old servers and other clients leave out', () => {
    for (const more of [{}, { signature: null, unprotected: null }, { unprotected: {} }]) {
      expect(parse({ ...base, ...more })).toMatchObject({ signature: undefined, notes: undefined, verify: undefined, problems: [] })
    }
  })

  it.each<[string, unknown]>([
    ['an array', []],
    ['no type', { ...base, 'backup-type': undefined }],
    ['another type', { ...base, 'backup-type': 'lxc' }],
    ['no id', { ...base, 'backup-id': 7 }],
    ['no time', { ...base, 'backup-time': '1' }],
    ['a fractional time', { ...base, 'backup-time': 1.5 }],
    ['no files', { ...base, files: {} }],
    ['a signature that is no text', { ...base, signature: 5 }],
  ])('refuses %s', (_, value) => {
    expect(errorOf(() => parse(value))).toBeInstanceOf(FormatError)
    expect(errorOf(() => parse(value))).toMatchObject({ fields: { stream: 'm' } })
  })

  it('refuses what is too large', () => {
    expect(errorOf(() => parseManifest(Buffer.alloc(8 * 1024 * 1024 + 1, 0x20), 'm'))).toBeInstanceOf(FormatError)
  })

  it.each<[string, unknown]>([
    ['not an object', 5],
    ['no name', file('x', { filename: undefined })],
    ['a path', file('../root.pxar.didx')],
    ['a folder', file('a/root.pxar.didx')],
    ['a NUL', file('root.pxar\0.didx')],
    ['a leading dot', file('.root.pxar.didx')],
    ['a leading dash', file('-root.pxar.didx')],
    ['no extension', file('root.pxar')],
    ['another extension', file('root.pxar.tmp_didx')],
    ['only an extension', file('.blob')],
    ['a line end', file('root.pxar.didx\n')],
    ['not ASCII', file('rööt.pxar.didx')],
    ['too long', file('a'.repeat(300) + '.blob')],
    ['the manifest itself', file('index.json.blob')],
    ['a negative size', file('a.blob', { size: -1 })],
    ['a fractional size', file('a.blob', { size: 1.5 })],
    ['a size as text', file('a.blob', { size: '5' })],
    ['no checksum', file('a.blob', { csum: undefined })],
    ['a short checksum', file('a.blob', { csum: 'ab' })],
    ['a checksum of other letters', file('a.blob', { csum: 'zz'.repeat(32) })],
    ['another crypt-mode', file('a.blob', { 'crypt-mode': 'rot13' })],
  ])('an entry with %s costs only itself', (_, entry) => {
    const manifest = parse({ ...base, files: [...base.files, entry] })
    expect(manifest.files.map((item) => item.filename)).toEqual(['root.pxar.didx'])
    expect(manifest.problems).toHaveLength(1)
  })

  it('sizes stop at 2^53-1', () => {
    const withSize = (size: string): ReturnType<typeof parseManifest> =>
      parseManifest(Buffer.from(JSON.stringify(base).replace('"size":5', `"size":${size}`)), 'm')
    expect(withSize('9007199254740991').files[0]!.size).toBe(2 ** 53 - 1)
    for (const size of ['9007199254740992', '18446744073709551615', '1e3']) expect(withSize(size).files).toEqual([])
  })

  it('a file listed twice is not used at all', () => {
    const manifest = parse({ ...base, files: [file('a.blob'), file('b.blob'), file('a.blob', { size: 6 })] })
    expect(manifest.files.map((item) => item.filename)).toEqual(['b.blob'])
    expect(manifest.problems).toEqual([expect.stringContaining('a.blob')])
  })

  it('bad unsigned parts are only remarked', () => {
    for (const unprotected of [5, { notes: 5 }, { verify_state: 'ok' }, { verify_state: { state: 'maybe', upid: '' } }, { 'key-fingerprint': 'ab' }]) {
      expect(parse({ ...base, unprotected }).problems).toHaveLength(1)
    }
  })

  it('any damage of the blob: a named error or a manifest', () => {
    const blob = encodeBlob(encodeManifestJson({ ...base, signature: null, unprotected: { notes: 'x' } }), 'zstd')
    const json = encodeManifestJson(base)
    fc.assert(
      fc.property(fc.nat(), fc.nat(7), fc.boolean(), fc.boolean(), (at, bit, cut, inner) => {
        const good = inner ? json : blob
        const bad = Buffer.from(cut ? good.subarray(0, at % good.length) : good)
        if (!cut) bad[at % bad.length]! ^= 1 << bit
        try {
          parseManifest(inner ? bad : decodeBlobFile(bad, 'm', 1000), 'm')
        } catch (error) {
          if (!isPbsfsError(error)) throw error
        }
      }),
      { numRuns: 3000 },
    )
  })
})

describe('archives', () => {
  const files = (...names: string[]): ManifestFile[] => names.map((filename) => ({ filename, cryptMode: 'none', size: 5, csum }))
  const show = (...names: string[]): string[] =>
    archivesOf({ files: files(...names) }).map((archive) => `${archive.name} ${archive.kind} ${archive.files.map((item) => item.filename).join('+')}`)

  it('are named as a person expects', () => {
    expect(show('drive-scsi0.img.fidx', 'qemu-server.conf.blob', 'root.ppxar.didx', 'root.mpxar.didx', 'etc.pxar.didx', 'catalog.pcat1.didx', 'rsa-encrypted.key.blob')).toEqual([
      'catalog.pcat1 catalog catalog.pcat1.didx',
      'drive-scsi0.img image drive-scsi0.img.fidx',
      'etc.pxar pxar etc.pxar.didx',
      'qemu-server.conf blob qemu-server.conf.blob',
      'root.pxar split-pxar root.mpxar.didx+root.ppxar.didx',
      'rsa-encrypted.key blob rsa-encrypted.key.blob',
    ])
  })

  it('lone halves are said to be such', () => {
    expect(show('a.mpxar.didx', 'b.ppxar.didx')).toEqual(['a.mpxar lone-meta a.mpxar.didx', 'b.ppxar lone-payload b.ppxar.didx'])
  })

  it('names that clash are resolved the same way whatever the order', () => {
    const clash = ['root.pxar.didx', 'root.mpxar.didx', 'root.ppxar.didx', 'x.img.fidx', 'x.img.didx', 'x.img.blob', 'x.img.blob.blob', 'root.pxar.fidx', 'data.didx']
    const expected = [
      'data stream data.didx',
      'root.mpxar split-pxar root.mpxar.didx+root.ppxar.didx',
      'root.pxar pxar root.pxar.didx',
      'root.pxar.fidx stream root.pxar.fidx',
      'x.img image x.img.didx',
      'x.img.blob blob x.img.blob',
      'x.img.blob.blob blob x.img.blob.blob',
      'x.img.fidx image x.img.fidx',
    ]
    expect(show(...clash)).toEqual(expected)
    expect(show(...clash.toReversed())).toEqual(expected)
  })

  it('shown names are unique and every file is shown once', () => {
    const name = fc.tuple(fc.constantFrom('a', 'b', 'a.img', 'a.pxar', 'a.mpxar'), fc.constantFrom('.pxar.didx', '.mpxar.didx', '.ppxar.didx', '.img.fidx', '.img.didx', '.blob', '.didx', '.fidx', '.pcat1.didx')).map((parts) => parts.join(''))
    fc.assert(
      fc.property(fc.uniqueArray(name), (names) => {
        const archives = archivesOf({ files: files(...names) })
        expect(new Set(archives.map((archive) => archive.name)).size).toBe(archives.length)
        expect(archives.flatMap((archive) => archive.files.map((item) => item.filename)).sort()).toEqual([...names].sort())
      }),
    )
  })

  it('are found by any of their names', () => {
    const archives = archivesOf({ files: files('root.mpxar.didx', 'root.ppxar.didx', 'drive.img.fidx', 'etc.pxar.didx', 'etc.mpxar.didx', 'etc.ppxar.didx') })
    const find = (name: string): string | undefined => findArchive(archives, name)?.files[0]!.filename
    for (const name of ['root.pxar', 'root.mpxar', 'root.ppxar', 'root.pxar.didx', 'root.mpxar.didx', 'root.ppxar.didx']) {
      expect(find(name)).toBe('root.mpxar.didx')
    }
    expect([find('etc.pxar'), find('etc.pxar.didx'), find('etc.mpxar'), find('etc.ppxar.didx')]).toEqual(['etc.pxar.didx', 'etc.pxar.didx', 'etc.mpxar.didx', 'etc.mpxar.didx'])
    expect([find('drive.img'), find('drive.img.fidx'), find('drive'), find('none.pxar')]).toEqual(['drive.img.fidx', 'drive.img.fidx', undefined, undefined])
  })

  it('add up their sizes, and are encrypted when one of their files is', () => {
    const [meta, payload] = files('root.mpxar.didx', 'root.ppxar.didx') as [ManifestFile, ManifestFile]
    expect(archivesOf({ files: [{ ...meta, cryptMode: 'sign-only' }, payload] })[0]).toMatchObject({ size: 10, cryptMode: 'sign-only' })
    expect(archivesOf({ files: [meta, { ...payload, cryptMode: 'encrypt' }] })[0]).toMatchObject({ cryptMode: 'encrypt' })
  })
})

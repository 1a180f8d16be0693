import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { UsageError } from '#src/errors/errors.js'
import { formatSelector, parseInside, parseSelector, parseSource, type Selector } from '#src/source/source-string.js'

const T = '2026-01-02T00:00:00Z'
const source = (text: string): { path: string; selector: string | undefined } => {
  const { path, selector } = parseSource(Buffer.from(text, 'latin1'))
  return { path: path.toString('latin1'), selector: selector?.toString('latin1') }
}
const selector = (text: string): Selector => parseSelector(Buffer.from(text, 'latin1'))

describe('SOURCE', () => {
  it('is split at the first ::', () => {
    expect(source('/store')).toEqual({ path: '/store', selector: undefined })
    expect(source('/store::')).toEqual({ path: '/store', selector: '' })
    expect(source('/store::host/web')).toEqual({ path: '/store', selector: 'host/web' })
    expect(source('/a::b::c')).toEqual({ path: '/a', selector: 'b::c' })
    expect(source('/a:b')).toEqual({ path: '/a:b', selector: undefined })
    expect(source('/a:::b')).toEqual({ path: '/a', selector: ':b' })
  })

  it('writes any byte as \\xNN, also those that separate', () => {
    expect(source('/a\\x3a\\x3Ab\\xff\\x5cx41::x')).toEqual({ path: '/a::b\xff\\x41', selector: 'x' })
    expect(source('/\xfe')).toEqual({ path: '/\xfe', selector: undefined })
    expect(source('/a\\x4')).toEqual({ path: '/a\\x4', selector: undefined })
  })

  it('must have a path, without NUL', () => {
    for (const text of ['', '::', '::host/web', '/a\\x00', 'a\0b']) expect(() => source(text)).toThrow(UsageError)
  })
})

describe('SELECTOR', () => {
  it.each<[string, Selector]>([
    ['', { ns: [] }],
    ['/', { ns: [] }],
    ['ns/prod', { ns: ['prod'] }],
    ['ns/prod/ns/eu/', { ns: ['prod', 'eu'] }],
    ['ns/ns/host', { ns: ['ns'], type: 'host' }],
    ['host', { ns: [], type: 'host' }],
    ['//host//web//', { ns: [], type: 'host', id: 'web' }],
    ['host/web/latest', { ns: [], type: 'host', id: 'web', time: 'latest' }],
    [`vm/100/${T}/drive-scsi0.img`, { ns: [], type: 'vm', id: '100', time: T, archive: 'drive-scsi0.img' }],
    [`ns/a/ns/b/ct/1/${T}/root.pxar`, { ns: ['a', 'b'], type: 'ct', id: '1', time: T, archive: 'root.pxar' }],
    [`host/web/${T}/root.pxar:etc/hosts`, { ns: [], type: 'host', id: 'web', time: T, archive: 'root.pxar', inside: Buffer.from('etc/hosts') }],
    ['host/web/latest/root.pxar:/etc/a:b/', { ns: [], type: 'host', id: 'web', time: 'latest', archive: 'root.pxar', inside: Buffer.from('etc/a:b') }],
    ['host/web/latest/root.pxar/etc', { ns: [], type: 'host', id: 'web', time: 'latest', archive: 'root.pxar', inside: Buffer.from('etc') }],
    ['host/web/latest/root.pxar:', { ns: [], type: 'host', id: 'web', time: 'latest', archive: 'root.pxar' }],
    ['host/web/latest/root.pxar:\\xff/\xfe', { ns: [], type: 'host', id: 'web', time: 'latest', archive: 'root.pxar', inside: Buffer.from('\xff/\xfe', 'latin1') }],
  ])('%s', (text, expected) => {
    expect(selector(text)).toEqual(expected)
  })

  it.each([
    'ns', 'ns/', 'ns/-a', 'ns/a/ns', 'lxc/1', 'host/.x', 'host/web/2026', 'host/web/2026-13-02T00:00:00Z', 'host/web/latest/-x', 'host/web/latest/:etc',
    'host/web/latest/root.pxar:a/../b', 'host/web/latest/root.pxar:\\x2e./b', 'host/web/latest/root.pxar:a\\x00', 'host/web/latest/root.pxar:a\\x2fb',
    'host/w\\x2fb', '..', 'host/..', 'ns/..', `${'ns/a/'.repeat(8)}host`, 'h\\xffst',
  ])('refuses %s with a sentence', (text) => {
    expect(() => selector(text)).toThrow(UsageError)
    expect(() => selector(text)).toThrow(/^SELECTOR: /)
  }) // prettier-ignore

  it('reads back what it writes', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,8}$/)
    const part = fc.uint8Array({ minLength: 1, maxLength: 6 }).filter((bytes) => !bytes.includes(0) && !bytes.includes(0x2f) && !/^\.\.?$/.test(Buffer.from(bytes).toString('latin1')))
    fc.assert(
      fc.property(fc.array(name, { maxLength: 7 }), name, name, fc.array(part, { minLength: 1, maxLength: 3 }), (ns, id, archive, parts) => {
        const inside = Buffer.from(parts.map((bytes) => Buffer.from(bytes).toString('latin1')).join('/'), 'latin1')
        const value: Selector = { ns, type: 'host', id, time: T, archive, inside }
        expect(parseSelector(Buffer.from(formatSelector(value)))).toEqual(value)
      }),
    )
  })

  it('a path inside a lone archive', () => {
    expect(parseInside(Buffer.from('/etc//./hosts/')).toString()).toBe('etc/hosts')
    expect(parseInside(Buffer.from('/'))).toHaveLength(0)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hiddenName, isLossy, showName } from '#src/fuse-native/names.js'

const latin1 = (text: string) => Buffer.from(text, 'latin1')

describe('showName', () => {
  it.each([
    ['plain', latin1('hosts'), 'hosts'],
    ['UTF-8 as it is', Buffer.from('café'), 'café'],
    ['a newline and a backslash as they are', latin1('a\n\\xe9'), 'a\n\\xe9'],
    ['latin1 as \\xNN', latin1('caf\xe9'), 'caf\\xe9'],
    ['all bytes above 0x7f of a name that is partly UTF-8', latin1('\xc3\xa9\xff'), '\\xc3\\xa9\\xff'],
    ['the backslash of such a name', latin1('\\\xff'), '\\x5c\\xff'],
    ['a surrogate', latin1('\xed\xa0\x80'), '\\xed\\xa0\\x80'],
  ])('shows %s', (_name, bytes, shown) => {
    expect(showName(bytes)).toBe(shown)
  })

  it('is shorter than the 1024 bytes the library has room for', () => {
    expect(showName(new Uint8Array(255).fill(0xff))).toHaveLength(1020)
  })
})

describe('hiddenName', () => {
  it.each([
    ['no escape', 'hosts'],
    ['an escape that stands for UTF-8', 'a\\x41'],
    ['a lone backslash', '\\xzz'],
    ['an escape that is not as it would be shown', 'caf\\xE9'],
    ['a bare backslash beside an escape', '\\ \\xff'],
    ['characters above 0x7f', 'é\\xff'],
  ])('finds nothing behind %s', (_name, shown) => {
    expect(hiddenName(shown)).toBeUndefined()
  })

  it('finds every name that is not UTF-8 under what is shown, and no other', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 12 }), (bytes) => {
        const shown = showName(bytes)
        const hidden = hiddenName(shown)
        if (Buffer.from(shown).equals(bytes)) expect(hidden).toBeUndefined()
        else expect(hidden).toEqual(Buffer.from(bytes))
      }),
    )
  })
})

it('knows names that lost bytes', () => {
  expect(isLossy(latin1('caf\xe9').toString('utf8'))).toBe(true)
  expect(isLossy('café')).toBe(false)
})

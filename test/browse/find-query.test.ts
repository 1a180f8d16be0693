import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileQuery, parseSizeTest, parseTypes, type FindQuery } from '#src/browse/find-query.js'
import { compilePattern } from '#src/browse/shell-pattern.js'
import type { Step } from '#src/browse/walk.js'
import { emptyAttr } from '#src/tree/tree.js'
import { UsageError } from '#src/errors/errors.js'

const NOTHING: FindQuery = { names: [], inames: [], paths: [], types: '', sizes: [] }

function step(name: string, attr: Partial<ReturnType<typeof emptyAttr>> = {}): Step {
  const bytes = Buffer.from(name, 'latin1')
  return { found: { id: { hi: 0, lo: 2 }, name: bytes, attr: { ...emptyAttr(), mode: 0o100644, ...attr } }, path: bytes, depth: 1 }
}

test.each([
  ['*.conf', 'a.conf', true],
  ['*.conf', 'a.confx', false],
  ['?', 'ab', false],
  ['[a-c]x', 'bx', true],
  ['[!a-c]x', 'bx', false],
  ['[]x]', ']', true],
  ['a[', 'a[', true],
  ['\\*', '*', true],
  ['\\*', 'x', false],
  ['a+(b)', 'a+(b)', true],
  ['\xff*', '\xff\xfe', true],
])('pattern %s and name %s', (pattern, name, expected) => {
  expect(compilePattern(Buffer.from(pattern, 'latin1')).test(name)).toBe(expected)
})

test('a literal name matches itself and nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.uint8Array({ maxLength: 20 }), (name, other) => {
      const text = Buffer.from(name).toString('latin1')
      const pattern = compilePattern(Buffer.from(text.replaceAll(/[*?[\\]/g, '\\$&'), 'latin1'))
      expect(pattern.test(text)).toBe(true)
      expect(pattern.test(Buffer.from(other).toString('latin1'))).toBe(Buffer.from(other).equals(name))
    }),
  )
})

test('sizes round up to units, as in find(1)', () => {
  const fits = (text: string, size: number): boolean => compileQuery({ ...NOTHING, sizes: [parseSizeTest(text)] })(step('a', { size }), Buffer.from('a'))
  expect([fits('1k', 1), fits('1k', 1024), fits('1k', 1025), fits('-1k', 0), fits('-1k', 1), fits('+1M', 2 ** 20 + 1), fits('2', 513)]).toEqual([true, true, false, true, false, true, true])
  expect(() => parseSizeTest('1x')).toThrow(UsageError)
})

test('types and times', () => {
  const is = (query: Partial<FindQuery>, attr: Parameters<typeof step>[1]): boolean => compileQuery({ ...NOTHING, ...query })(step('a', attr), Buffer.from('a'))
  expect([is({ types: parseTypes(['f,d']) }, {}), is({ types: 'd' }, {}), is({ types: 'd' }, { mode: 0o040755 })]).toEqual([true, false, true])
  expect(() => parseTypes(['x'])).toThrow(UsageError)
  const newerThan = { sec: 5, nsec: 5 }
  expect([is({ newerThan }, { mtimeSec: 5, mtimeNsec: 5 }), is({ newerThan }, { mtimeSec: 5, mtimeNsec: 6 }), is({ newerThan }, { mtimeSec: -1 })]).toEqual([false, true, false])
})

import { expect, test } from 'vitest'
import { TypedLine } from '#src/cli/keys/terminal.js'

function type(...keys: (string | number[])[]): { end: string | undefined; text: string } {
  const line = new TypedLine()
  let end: string | undefined
  for (const part of keys) end = line.type(Buffer.from(part as string))
  return { end, text: line.take().toString() }
}

test.each<[string, (string | number[])[], string | undefined, string]>([
  ['a line', ['secret\r'], 'done', 'secret'],
  ['in pieces', ['sec', 'ret', '\n'], 'done', 'secret'],
  ['end of input', ['abc', [4]], 'done', 'abc'],
  ['not complete', ['abc'], undefined, 'abc'],
  ['backspace', ['abx', [0x7f], 'c', [8], 'd\r'], 'done', 'abd'],
  ['backspace over a character of several bytes', ['aä€', [0x7f, 0x7f], 'b\r'], 'done', 'ab'],
  ['backspace over nothing', [[0x7f], 'a\r'], 'done', 'a'],
  ['all anew', ['wrong', [0x15], 'right\r'], 'done', 'right'],
  ['interrupted', ['abc', [3]], 'interrupted', 'abc'],
  ['blanks count', [' a b \r'], 'done', ' a b '],
])('%s', (_, keys, end, text) => {
  expect(type(...keys)).toEqual({ end, text })
})

test('more than anybody types is left out', () => {
  expect(type('x'.repeat(5000), '\r').text).toHaveLength(4096)
})

import { expect, test } from 'vitest'
import { formatTable } from '#src/cli/table.js'
import { cutToWidth, widthOf } from '#src/cli/text-width.js'

test.each([
  ['abc', 3],
  ['größe', 5],
  ['日本', 4],
  ['한글', 4],
  ['e\u0301', 1],
  ['a😀', 3],
  ['', 0],
])('%s', (text, width) => expect(widthOf(text)).toBe(width))

test.each([
  ['abcdef', 3, 'abc'],
  ['日本語', 5, '日本'],
  ['a😀b', 2, 'a'],
  ['e\u0301x', 1, 'e\u0301'],
  ['abc', 0, ''],
  ['abc', -1, ''],
  ['日', -1, ''],
])('%s in %d columns', (text, columns, cut) => expect(cutToWidth(text, columns)).toBe(cut))

test('a table with wide names is straight', () => {
  expect(formatTable([['日本', 'x'], ['abcde', 'y']])).toBe('日本   x\nabcde  y\n')
})

import { expect, test } from 'vitest'
import { splitShellWords } from '#src/cli/keys/shell-words.js'

test.each<[string, string[] | undefined]>([
  ['', []],
  ['  pass  show\tbackup\n', ['pass', 'show', 'backup']],
  [`a 'b c' "d e"`, ['a', 'b c', 'd e']],
  [`'' ""`, ['', '']],
  [`a"b"'c'd`, ['abcd']],
  [String.raw`a\ b \'`, ['a b', "'"]],
  [String.raw`"\"\\\$\x"`, [String.raw`"\$\x`]],
  [String.raw`'\n'`, [String.raw`\n`]],
  ['a\\\nb', ['ab']],
  ['$HOME `x` ; rm', ['$HOME', '`x`', ';', 'rm']],
  [`'open`, undefined],
  ['"open', undefined],
  ['end\\', undefined],
])('%j', (line, words) => {
  expect(splitShellWords(line)).toEqual(words)
})

import { describe, expect, test } from 'vitest'
import { bashReply, splitLine } from '#src/cli/completion/split-line.js'

const BREAKS = ' \t\n"\'><=;|&(:'

describe('splitLine', () => {
  test.each([
    ['pbsfs ', ['pbsfs', '']],
    ['pbsfs  ls\ta', ['pbsfs', 'ls', 'a']],
    ['a b\\ c', ['a', 'b c']],
    ['a b\\ ', ['a', 'b ']],
    [`x 'a b' "c d"`, ['x', 'a b', 'c d']],
    [`x 'a b`, ['x', 'a b']],
    [`x "a \\" \\n`, ['x', 'a " \\n']],
    [`x y'a b'"c d`, ['x', 'ya bc d']],
    ['x \\', ['x', '']],
    ['', ['']],
  ])('%j', (line, words) => expect(splitLine(line).map(({ text }) => text)).toEqual(words))
})

describe('bashReply', () => {
  test.each([
    ['mou', 'mount', 'mount'],
    ['store::h', 'store::host/', 'host/'],
    ['--driver=k', '--driver=kernel', 'kernel'],
    ['a\\ b', 'a bc', 'a\\ bc'],
    ['a\\:b', 'a:bc', 'a:bc'],
    ['s::host/2026-01-01T00:0', 's::host/2026-01-01T00:00:00Z/', '00:00Z/'],
    ["'a b::h", 'a b::host/', 'a b::host/'],
    ["'a b::'h", 'a b::host/', 'a\\ b::host/'],
    ['"a$', 'a$b', 'a\\$b'],
    ["x'a b", 'xa bc', 'a bc'],
    ['~/a', '~/a b', '~/a\\ b'],
    ['', '~x', '\\~x'],
    ['', "it's", "it\\'s"],
  ])('%s becomes %s with %s', (typed, candidate, reply) => {
    expect(bashReply(candidate, splitLine(typed).at(-1)!, BREAKS)).toBe(reply)
  })

  test('what cannot stand in the open quotes is not offered', () => {
    expect(bashReply("it's", splitLine("'i").at(-1)!, BREAKS)).toBeUndefined()
  })

  test('a colon that is no word break stays', () => {
    expect(bashReply('store::host', splitLine('store::h').at(-1)!, ' \t\n')).toBe('store::host')
  })
})

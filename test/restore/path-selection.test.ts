import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PathSelection, type Choice } from '#src/restore/path-selection.js'

const bytes = (texts: readonly string[]) => texts.map((text) => Buffer.from(text, 'latin1'))

function choose(include: readonly string[], exclude: readonly string[], path: string, isFolder = false): Choice {
  const selection = new PathSelection(bytes(include), bytes(exclude))
  // As a walk does it: folder by folder.
  const names = path.split('/')
  let inherited = selection.isAll
  for (let i = 1; i < names.length; i++) {
    const choice = selection.choose(Buffer.from(names.slice(0, i).join('/'), 'latin1'), true, inherited)
    if (choice === 'none') return 'none'
    inherited = choice === 'all'
  }
  return selection.choose(Buffer.from(path, 'latin1'), isFolder, inherited)
}

test.each<[string[], string[], string, boolean, Choice]>([
  [[], [], 'etc/passwd', false, 'all'],
  [['passwd'], [], 'etc/passwd', false, 'all'],
  [['passwd'], [], 'etc/passwd-', false, 'none'],
  [['*.conf'], [], 'etc/a/b.conf', false, 'all'],
  [['etc/*.conf'], [], 'etc/b.conf', false, 'all'],
  [['/etc/*.conf'], [], 'etc/b.conf', false, 'all'],
  [['./etc/*.conf'], [], 'etc/b.conf', false, 'all'],
  [['/etc/*.conf'], [], 'etc/a/b.conf', false, 'none'],
  [['/etc/**/*.conf'], [], 'etc/a/b/c.conf', false, 'all'],
  [['/etc/**/*.conf'], [], 'etc/c.conf', false, 'all'],
  [['/etc/**'], [], 'etc/a/b', false, 'all'],
  [['/etc'], [], 'etc/a/b', false, 'all'],
  [['etc'], [], 'home/etc/a', false, 'all'],
  [['/etc'], [], 'home/etc/a', false, 'none'],
  [['etc/'], [], 'etc', false, 'none'],
  [['etc/'], [], 'etc', true, 'all'],
  [['/etc/x'], [], 'etc', true, 'below'],
  [['a?c'], [], 'a/c', false, 'none'],
  [['/a[!x]c'], [], 'a/c', false, 'none'],
  [[], ['*.log'], 'var/x.log', false, 'none'],
  [[], ['var'], 'var/x', false, 'none'],
  [['x'], ['var'], 'var/x', false, 'none'],
  [['var'], ['/var/log'], 'var/log/x', false, 'none'],
  [['var'], ['/var/log'], 'var/lib/x', false, 'all'],
  [['\xff*'], [], 'a/\xff\xfe', false, 'all'],
])('include %j, exclude %j: %s', (include, exclude, path, isFolder, expected) => {
  expect(choose(include, exclude, path, isFolder)).toBe(expected)
})

test('a path without special characters, as a pattern from the root, chooses itself and what is below it, and nothing else', () => {
  const name = fc.stringMatching(/^[a-c]{1,3}$/)
  const path = fc.array(name, { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(path, path, (pattern, other) => {
      const isBelow = pattern.every((part, i) => other[i] === part)
      expect(choose([`/${pattern.join('/')}`], [], other.join('/')) === 'all').toBe(isBelow)
    }),
  )
})

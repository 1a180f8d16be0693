import { expect, test } from 'vitest'
import { findContext } from '#src/cli/completion/find-context.js'
import { describeAllCommands } from '#src/cli/reference/all-commands.js'

const commands = describeAllCommands()

test.each<[string[], object]>([
  [[''], { kind: 'command' }],
  [['mo'], { kind: 'command' }],
  [['nothing', ''], { kind: 'nothing' }],
  [['mount', ''], { kind: 'operand', name: 'source' }],
  [['mount', 'a', ''], { kind: 'operand', name: 'mountpoint' }],
  [['mount', '-f', '--cache-size', '1G', 'a', ''], { kind: 'operand', name: 'mountpoint' }],
  [['mount', '--cache-size=1G', '-vo', 'ro', 'a', ''], { kind: 'operand', name: 'mountpoint' }],
  [['mount', 'a', 'b', 'c', ''], { kind: 'nothing' }],
  [['unmount', ''], { kind: 'operand', name: 'mountpoint' }],
  [['cat', 'a', 'b', 'c', ''], { kind: 'operand', name: 'paths' }],
  [['ls', '--', '-'], { kind: 'operand', name: 'source' }],
  [['ls', '-'], { kind: 'option' }],
  [['ls', 'a', '--no'], { kind: 'option' }],
  [['mount', '--driver', ''], { kind: 'value', option: { name: 'driver' }, prefix: '' }],
  [['mount', '--driver=k'], { kind: 'value', option: { name: 'driver' }, prefix: '--driver=' }],
  [['mount', '-o', 'all'], { kind: 'value', option: { name: 'options' } }],
  [['find', 'a', '-name', 'x', ''], { kind: 'operand', name: 'start' }],
])('%j', (words, context) => expect(findContext(words, commands)).toMatchObject(context))

test('options that are given are known', () => {
  const context = findContext(['ls', '-l', '--keyfile', 'k', '--keyfile=j', 'a', '--'], commands)
  expect(context).toMatchObject({ kind: 'option', given: new Set(['long', 'keyfile']) })
  const value = findContext(['ls', '--repository', '/s', ''], commands)
  expect(value.kind === 'operand' && value.line.options.get('repository')).toEqual(['/s'])
})

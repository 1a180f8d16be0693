import { expect, test } from 'vitest'
import { asMountCommand } from '#src/cli/mount-helper.js'

const commands = new Set(['mount', 'umount', 'status'])

test.each([
  ['as mount.fuse3 calls it', ['/store', '/mnt', '-o', 'ro,dev,suid'], ['mount', '-o', 'ro,dev,suid', '/store', '/mnt']],
  ['a store by its name', ['main', '/mnt', '-o', 'ro'], ['mount', '-o', 'ro', 'main', '/mnt']],
  ['flags of mount(8) are dropped', ['s', '/mnt', '-n', '-v', '-o', 'ro', '-s'], ['mount', '-o', 'ro', 's', '/mnt']],
  ['an inherited channel', ['s', '/dev/fd/3', '-o', 'ro'], ['mount', '-o', 'ro', 's', '/dev/fd/3']],
])('%s', (_, args, expected) => expect(asMountCommand(args, commands)).toEqual(expected))

test.each([
  ['a command', ['umount', '/mnt', '-o', 'ro']],
  ['no -o: a mistyped command', ['umuont', '/mnt']],
  ['a relative mountpoint', ['/store', 'mnt', '-o', 'ro']],
  ['one argument', ['/store']],
  ['three', ['/store', 'a', '/mnt', '-o', 'ro']],
  ['an option first', ['-o', 'ro', '/store', '/mnt']],
  ['another option', ['/store', '/mnt', '-o', 'ro', '--json']],
  ['-o without a value', ['/store', '/mnt', '-o']],
  ['nothing', []],
])('not: %s', (_, args) => expect(asMountCommand(args, commands)).toBeUndefined())

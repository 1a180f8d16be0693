import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { describeError, printable } from '#src/cli/describe-error.js'
import { FormatError, MountError, SourceError } from '#src/errors/errors.js'

describe('describeError', () => {
  test('message, then fields in a fixed order, then the cause', () => {
    const cause = new SourceError('cannot read /a', { path: '/a', code: 'EIO', operation: 'read' })
    const error = new FormatError('bad magic', { actual: 'x', offset: 8, stream: 'root.pxar', item: undefined }, { cause })
    expect(describeError(error).split('\n')).toEqual([
      'bad magic',
      '  stream: root.pxar',
      '  offset: 8',
      '  actual: x',
      '  because: cannot read /a',
      '    code: EIO',
      // `read` and `/a` are in the message already.
    ])
  })

  test('ends with the remedy', () => {
    expect(describeError(new MountError('no /dev/fuse', { remedy: 'modprobe fuse' }))).toBe('no /dev/fuse\n  modprobe fuse')
    expect(describeError(new MountError('no /dev/fuse: modprobe fuse', { remedy: 'modprobe fuse' }))).toBe('no /dev/fuse: modprobe fuse')
  })

  test('says nothing twice: a code that the message has in words, a system error that only repeats it', () => {
    const system = Object.assign(new Error("EACCES: permission denied, open '/a'"), { code: 'EACCES', syscall: 'open', path: '/a' })
    expect(describeError(new SourceError('/a: permission denied', { path: '/a', code: 'EACCES' }, { cause: system }))).toBe('/a: permission denied')
    expect(describeError(new SourceError('/a cannot be read (EACCES)', { path: '/a', code: 'EACCES' }, { cause: system }))).toBe('/a cannot be read (EACCES)')
    expect(describeError(new SourceError('host/x: there is no such group', { code: 'ENOENT' }))).toBe('host/x: there is no such group')
    // What is about another path is told.
    expect(describeError(new SourceError('/b: permission denied', { code: 'EACCES' }, { cause: system }))).toContain("open '/a'")
    expect(describeError(new SourceError('/b: cannot be read', { code: 'EIO' }))).toBe('/b: cannot be read\n  code: EIO')
  })

  test('calls a bug a bug and shows its stack only when asked', () => {
    const bug = new TypeError('x is undefined')
    expect(describeError(bug)).toBe('TypeError: x is undefined\n  This is a fault of pbsfs itself; -d shows where.')
    expect(describeError(bug, true)).toContain('describe-error.test.ts')
  })

  test('ends although causes go in a circle', () => {
    const a = new FormatError('a')
    const b = new FormatError('b', {}, { cause: a })
    Object.assign(a, { cause: b })
    expect(describeError(a).split('\n').length).toBeLessThan(12)
  })

  test('nothing in it can control a terminal', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (message, value) => {
        const text = describeError(new FormatError(message, { path: value }, { cause: new Error(value) }))
        expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/)
      }),
    )
  })
})

test('printable keeps what is escaped already and line ends', () => {
  expect(printable('a\\x0ab\nc')).toBe('a\\x0ab\nc')
  expect(printable('\u001b[31m\udcff')).toBe('\\x1b[31m\\xff')
})

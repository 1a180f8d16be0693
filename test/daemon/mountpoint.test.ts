import { mkdirSync, realpathSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { joinBytes } from '#src/bytes/paths.js'
import { isInside, resolveMountpoint } from '#src/daemon/mountpoint.js'
import { UsageError } from '#src/errors/errors.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = realpathSync(temporaryFolder())
mkdirSync(join(folder, 'real/inner'), { recursive: true })
symlinkSync('real', join(folder, 'link'))
symlinkSync('real/inner', join(folder, 'to-inner'))
symlinkSync('loop', join(folder, 'loop'))
symlinkSync('gone', join(folder, 'dangling'))

const never = () => false
const resolve = (path: string, isMounted: (path: Buffer) => boolean = never) =>
  resolveMountpoint(Buffer.from(path), Buffer.from(folder), isMounted).toString()

describe('resolveMountpoint', () => {
  test.each([
    ['real/inner', 'real/inner'],
    ['real/inner/', 'real/inner'],
    ['real/inner///', 'real/inner'],
    ['./real/inner/.', 'real/inner'],
    ['real/missing', 'real/missing'],
    ['link/inner', 'real/inner'],
    ['link/missing/', 'real/missing'],
    ['to-inner', 'real/inner'],
    ['to-inner/', 'real/inner'],
    ['dangling', 'gone'],
    ['.', ''],
    ['real/..', ''],
    ['real/inner/../..', ''],
    ['link/../real', 'real'],
  ])('%s', (given, expected) => expect(resolve(given)).toBe(join(folder, expected)))

  test('an absolute path does not use the working directory', () => {
    expect(resolve(join(folder, 'link/inner/'))).toBe(join(folder, 'real/inner'))
    expect(resolve('/')).toBe('/')
  })

  test('a mountpoint is not looked at: a link there would be followed', () => {
    const asked: string[] = []
    const isMounted = (path: Buffer) => asked.push(path.toString()) > 0
    expect(resolve('to-inner', isMounted)).toBe(join(folder, 'to-inner'))
    expect(asked).toEqual([join(folder, 'to-inner')])
  })

  test('keeps bytes that are not UTF-8', () => {
    const name = Buffer.from([0xff, 0xfe])
    const path = resolveMountpoint(joinBytes(Buffer.from('link'), name), Buffer.from(folder), never)
    expect(path.equals(joinBytes(Buffer.from(join(folder, 'real')), name))).toBe(true)
  })

  test('names the folder that is missing', () => {
    expect(() => resolve('nope/mnt')).toThrow(UsageError)
    expect(() => resolve('nope/mnt')).toThrow(`the folder ${join(folder, 'nope')} does not exist`)
  })

  test('a circle of links ends', () => {
    expect(() => resolve('loop')).toThrow('too many symbolic links')
  })
})

test('isInside is a matter of whole names', () => {
  const inside = (inner: string, outer: string) => isInside(Buffer.from(inner), Buffer.from(outer))
  expect(inside('/a/b', '/a')).toBe(true)
  expect(inside('/a', '/a')).toBe(true)
  expect(inside('/ab', '/a')).toBe(false)
  expect(inside('/a', '/a/b')).toBe(false)
  expect(inside('/a', '/')).toBe(true)
  const name = fc.stringMatching(/^[a-c]{1,2}$/)
  fc.assert(
    fc.property(fc.array(name, { minLength: 1 }), fc.array(name, { minLength: 1 }), (a, b) => {
      const expected = b.length <= a.length && b.every((part, i) => part === a[i])
      expect(inside('/' + a.join('/'), '/' + b.join('/'))).toBe(expected)
    }),
  )
})

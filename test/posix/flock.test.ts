import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { tryLock } from '#src/posix/flock.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = temporaryFolder()

it('shared locks go together, an exclusive one stands alone, and closing the file gives it back', () => {
  const path = join(folder, 'file')
  writeFileSync(path, '')
  const [a, b, c] = [openSync(path, 'r'), openSync(path, 'r'), openSync(path, 'r')]
  expect(tryLock(a, 'shared')).toBeUndefined()
  expect(tryLock(b, 'shared')).toBeUndefined()
  expect(tryLock(c, 'exclusive')).toBe('EAGAIN')
  closeSync(a)
  expect(tryLock(c, 'exclusive')).toBe('EAGAIN')
  closeSync(b)
  expect(tryLock(c, 'exclusive')).toBeUndefined()
  closeSync(c)
})

it('belongs to the open file: closing another descriptor of the same path leaves it', () => {
  const path = join(folder, 'other')
  writeFileSync(path, '')
  const held = openSync(path, 'r')
  expect(tryLock(held, 'shared')).toBeUndefined()
  closeSync(openSync(path, 'r'))
  const writer = openSync(path, 'r')
  expect(tryLock(writer, 'exclusive')).toBe('EAGAIN')
  closeSync(held)
  closeSync(writer)
})

it('locks a directory that is open for reading', () => {
  const path = join(folder, 'directory')
  mkdirSync(path)
  const [a, b] = [openSync(path, 'r'), openSync(path, 'r')]
  expect(tryLock(a, 'exclusive')).toBeUndefined()
  expect(tryLock(b, 'shared')).toBe('EAGAIN')
  closeSync(a)
  closeSync(b)
})

it('names what is wrong', () => {
  expect(tryLock(-1, 'shared')).toBe('EBADF')
})

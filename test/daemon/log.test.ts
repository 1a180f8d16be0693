import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLog, formatLine, openLogFile } from '#src/daemon/log.js'
import { SourceError } from '#src/errors/errors.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = temporaryFolder()
const time = new Date('2026-01-02T03:04:05.678Z')

test('a record is a line: time, level, message, fields', () => {
  expect(formatLine(time, 'warn', 'bad chunk', { path: 'a b', offset: 5, digest: 'aa', none: undefined, empty: '' })).toBe(
    '2026-01-02T03:04:05.678Z warn bad chunk path="a b" offset=5 digest=aa empty=""',
  )
  expect(formatLine(time, 'info', 'x', { name: 'a\\xffb"c' })).toBe(`2026-01-02T03:04:05.678Z info x name="a\\xffb'c"`)
})

test('whatever is in it, it stays one line that controls no terminal', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (message, value) => {
      expect(formatLine(time, 'error', message, { value })).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u202e]/)
    }),
  )
})

test('below the level nothing is written; warnings are kept, the last fifty', () => {
  const path = join(folder, 'level.log')
  const log = createLog(openLogFile(Buffer.from(path)), 'info', () => time)
  log.debug('not this')
  log.info('this')
  for (let i = 0; i < 60; i++) log.warn('warning', { i })
  log.close()
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
  expect(lines).toHaveLength(61)
  expect(lines[0]).toBe('2026-01-02T03:04:05.678Z info this')
  expect(log.recent()).toEqual(lines.slice(-50))
})

test('a log in memory starts again before it is too large', () => {
  const path = join(folder, 'small.log')
  const fd = openSync(path, 'a')
  const log = createLog({ fd, maxBytes: 1_000 }, 'info')
  for (let i = 0; i < 200; i++) log.info('x'.repeat(100))
  expect(statSync(path).size).toBeLessThan(1_300)
  closeSync(fd)
})

test('a log that cannot be written costs its line only', () => {
  const log = createLog({ fd: 9999, maxBytes: 0 }, 'info')
  log.error('lost')
  expect(log.recent()[0]).toContain('lost')
})

test('a log file that cannot be opened is a named error', () => {
  expect(() => openLogFile(Buffer.from('/nonexistent/x.log'))).toThrow(SourceError)
  expect(() => openLogFile(Buffer.from('/nonexistent/x.log'))).toThrow('/nonexistent/x.log')
})

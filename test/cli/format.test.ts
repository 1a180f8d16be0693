import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatStatusDetail, formatStatusTable } from '#src/cli/format-status.js'
import { quoteBytes } from '#src/bytes/shell-quote.js'
import { formatTable } from '#src/cli/table.js'
import type { MountStatus } from '#src/daemon/status.js'

test('columns are aligned by letters; the last one has no blanks behind it', () => {
  expect(formatTable([['a', 'bb', 'c'], ['ddd', 'é', 'f'], ['', '', '']])).toBe('a    bb  c\nddd  é   f\n         \n') // prettier-ignore
  expect(formatTable([])).toBe('')
})

const status: MountStatus = {
  mountpoint: '/mnt/a\\xff', source: '/store', state: 'running', pid: 12, uptimeSeconds: 61, started: '2026-01-01T00:00:00Z', pbsfs: '1.0',
  driver: 'kernel', log: '/run/pbsfs/mount-12.log', recent: ['line \u001b[2J'],
  session: {
    cache: { limitBytes: 2 ** 28, usedBytes: 2 ** 20, chunks: 3, hits: 4, misses: 5 },
    requests: { total: 6, inFlight: 7, bytesRead: 2048 },
    errors: { count: 1, recent: [{ time: 't', message: 'bad \u001b[2J', fields: {}, count: 9 }] },
    sources: [{ path: '/store', kind: 'datastore', state: 'stalled', message: 'no answer' }],
  },
} // prettier-ignore

test('status on one line each', () => {
  const lines = formatStatusTable([status, { ...status, session: null, pid: null, uptimeSeconds: null, state: 'dead' }]).split('\n')
  expect(lines[0]).toMatch(/^MOUNTPOINT +STATE +PID +UP +CACHE +ERRORS +SOURCE$/)
  expect(lines[1]!.split(/ {2,}/)).toEqual(['/mnt/a\\xff', 'running', '12', '1m 1s', '1.0 MiB of 256 MiB', '1', '/store'])
  expect(lines[2]!.split(/ {2,}/)).toEqual(['/mnt/a\\xff', 'dead', '-', '-', '-', '-', '/store'])
})

test('status in detail: everything, and nothing that controls a terminal', () => {
  const text = formatStatusDetail(status)
  for (const part of ['12', '3 chunks, 4 hits, 5 misses', '6, 7 in flight, 2.0 KiB read', 'stalled no answer', '(9 times)', 'line \\x1b[2J']) {
    expect(text).toContain(part)
  }
  expect(text).not.toContain('\u001b')
})

test('status in detail: what is locked, and why nothing is', () => {
  const locksIn = (locks: NonNullable<MountStatus['session']>['locks']) => {
    const lines = formatStatusDetail({ ...status, session: { ...status.session!, ...(locks === undefined ? {} : { locks }) } }).split('\n')
    const from = lines.findIndex((line) => line.startsWith('locks'))
    return from < 0 ? undefined : lines.slice(from, from + (locks?.held.length || 1)).map((line) => line.replace(/^(locks)? +/, ''))
  }
  const held = { openFiles: 0, idleSeconds: 0, complete: true }
  expect(locksIn(undefined)).toBeUndefined()
  expect(locksIn({ none: 'by --no-lock', held: [] })).toEqual(['none: by --no-lock'])
  expect(locksIn({ held: [] })).toEqual(['none held'])
  const all = [
    { ...held, snapshot: 'host/a/1', openFiles: 2 },
    { ...held, snapshot: 'host/a/2', idleSeconds: 7 },
    { ...held, snapshot: 'host/a/3', complete: false },
  ]
  expect(locksIn({ held: all })).toEqual(['host/a/1 (2 open)', 'host/a/2 (idle 7 s)', 'host/a/3 (in use, not fully locked)'])
})

test('a quoted name is the same in a shell', () => {
  const names = fc.uint8Array({ minLength: 1, maxLength: 20 }).filter((bytes) => !bytes.includes(0))
  const samples = fc.sample(names, 40).map((bytes) => Buffer.from(bytes))
  samples.push(Buffer.from("it's"), Buffer.from('a b'), Buffer.from('$HOME `x` "y"'), Buffer.from('\\x41'), Buffer.from("'\n"), Buffer.from('~'))
  const script = samples.map((name) => `printf '%s\\0' ${quoteBytes(name)}`).join('\n')
  const output = execFileSync('bash', ['-c', script])
  expect(output.toString('hex')).toBe(Buffer.concat(samples.map((name) => Buffer.concat([name, Buffer.alloc(1)]))).toString('hex'))
})

import { lstatSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openControlSocket, requestStatus } from '#src/daemon/control-socket.js'
import { isMountStatus, type MountStatus } from '#src/daemon/status.js'
import { SourceError } from '#src/errors/errors.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const status: MountStatus = {
  mountpoint: '/mnt/\\xff', source: '/s', state: 'running', pid: 5, uptimeSeconds: 1, started: '2026-01-01T00:00:00Z', pbsfs: '1',
  driver: 'kernel', log: 'stderr', recent: ['a'],
  session: {
    cache: { limitBytes: 1, usedBytes: 1, chunks: 1, hits: 1, misses: 1 },
    requests: { total: 1, inFlight: 0, bytesRead: 1 },
    errors: { count: 0, recent: [] },
    sources: [],
  },
} // prettier-ignore

const folder = temporaryFolder()
let count = 0
const newPath = () => join(folder, `s${count++}`)

function send(path: string, text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = ''
    const socket = connect(path, () => socket.write(text))
    socket.on('data', (chunk) => (answer += chunk.toString()))
    socket.on('close', () => resolve(answer))
    socket.on('error', () => undefined)
  })
}

test('answers, again and again, for its owner alone', async () => {
  const path = newPath()
  writeFileSync(path, 'left by a process that is gone')
  const socket = await openControlSocket(path, () => Promise.resolve(status))
  expect(lstatSync(path).mode & 0o777).toBe(0o600)
  expect(await Promise.all([1, 2, 3].map(() => requestStatus(path, 2_000)))).toEqual([status, status, status])
  await socket.close()
  expect(await requestStatus(path, 500)).toBeUndefined()
})

test('takes no other request, and no endless one', async () => {
  const path = newPath()
  const socket = await openControlSocket(path, () => Promise.resolve(status))
  expect(await send(path, 'GET / HTTP/1.1\r\n\r\n')).toBe('{"error":"unknown request"}\n')
  expect(await send(path, 'x'.repeat(5_000))).toBe('')
  expect(await requestStatus(path, 2_000)).toEqual(status)
  await socket.close()
})

test('a status that fails is an answer; closing does not wait for who says nothing', async () => {
  const path = newPath()
  const socket = await openControlSocket(path, () => Promise.reject(new Error('no')))
  expect(await requestStatus(path, 2_000)).toBeUndefined()
  const silent = connect(path)
  const closed = new Promise((resolve) => silent.on('close', resolve))
  await new Promise((resolve) => silent.on('connect', resolve))
  await socket.close()
  await closed
})

test('who asks waits no longer than it said', async () => {
  const path = newPath()
  const server = createServer(() => undefined).listen(path)
  const before = performance.now()
  expect(await requestStatus(path, 100)).toBeUndefined()
  expect(performance.now() - before).toBeLessThan(2_000)
  server.close()
})

test.each(['', 'null', '{}', '{"mountpoint":', JSON.stringify({ ...status, pid: 'x' }), JSON.stringify({ ...status, session: {} })])(
  'is not fooled by the answer %s',
  async (answer) => {
    const path = newPath()
    const server = createServer((socket) => void socket.end(answer)).listen(path)
    expect(await requestStatus(path, 2_000)).toBeUndefined()
    server.close()
  },
)

test('isMountStatus knows a status without a session', () => {
  expect(isMountStatus(status)).toBe(true)
  expect(isMountStatus({ ...status, session: null })).toBe(true)
  expect(isMountStatus({ ...status, recent: undefined })).toBe(false)
})

test('a path that cannot be is a named error', async () => {
  await expect(openControlSocket('/nonexistent/s', () => Promise.resolve(status))).rejects.toThrow(SourceError)
})

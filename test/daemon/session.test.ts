import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { createLog } from '#src/daemon/log.js'
import { encodeBytes, type MountConfig } from '#src/daemon/mount-config.js'
import { openSession, type Session } from '#src/daemon/session.js'
import { SourceError } from '#src/errors/errors.js'
import { NO_MOUNT_OPTIONS } from '#src/fuse/mount-options.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = temporaryFolder()
const sessions: Session[] = []
let count = 0

/** A session whose thread runs this text; `port` is its end of the channel. */
function open(body: string): Session {
  const path = join(folder, `thread${count++}.mjs`)
  writeFileSync(path, `import { parentPort as port } from 'node:worker_threads'\n${body}`)
  const session = openSession(pathToFileURL(path))
  sessions.push(session)
  return session
}

afterEach(async () => {
  for (const session of sessions.splice(0)) await session.terminate(2_000)
})

const bytes = encodeBytes(Buffer.from('/'))
const config: MountConfig = {
  pbsfs: '1', source: { text: bytes, cwd: bytes }, mountpoint: bytes, options: NO_MOUNT_OPTIONS, cacheBytes: 1, decoders: 1,
  driver: 'kernel', log: { level: 'info' },
} // prettier-ignore

test('gets what to serve, is ready, ends', async () => {
  const session = open(`port.once('message', (start) => {
    port.postMessage({ type: 'log', level: 'warn', message: JSON.stringify([start.type, start.fd, start.mountpoint, start.config.cacheBytes]) })
    port.postMessage({ type: 'ready' })
    port.postMessage({ type: 'ended', reason: 'unmounted' })
  })`)
  const log = createLog({ fd: 9999, maxBytes: 0 }, 'info')
  session.logTo(log)
  session.start({ fd: 7, mountpoint: '2f', source: '/s', config, secrets: new Uint8Array(0) })
  await session.ready
  expect(await session.ended).toBe('unmounted')
  expect(log.recent()[0]).toContain(`["start",7,"2f",1]`)
  expect(await session.terminate(2_000)).toBe(true)
})

test('what is logged before there is a log is kept', async () => {
  const session = open(`port.postMessage({ type: 'log', level: 'error', message: 'early' }); port.postMessage({ type: 'ready' })
    port.on('message', () => undefined)`)
  await session.ready
  const log = createLog({ fd: 9999, maxBytes: 0 }, 'info')
  session.logTo(log)
  expect(log.recent()[0]).toContain('early')
})

test('a failure keeps its class', async () => {
  const session = open(`port.postMessage({ type: 'failed', error: { tag: 'source', message: 'gone', fields: { path: '/x' } } })`)
  const error: unknown = await session.ready.catch((failure: unknown) => failure)
  expect(error).toBeInstanceOf(SourceError)
  expect((error as SourceError).fields).toEqual({ path: '/x' })
  await expect(session.ended).rejects.toBe(error)
})

test.each([
  [`throw new Error('thrown at once')`, 'thrown at once'],
  [`setTimeout(() => { throw new TypeError('thrown later') }, 20)`, 'thrown later'],
  [`process.exit(4)`, 'without a word (code 4)'],
  [`import './not-there.mjs'`, 'not-there.mjs'],
  [`port.postMessage({ type: 'ended', reason: 'unmounted' })`, 'before it answered'],
])('%s', async (body, message) => {
  await expect(open(body).ready).rejects.toThrow(message)
})

test('the status, or undefined when it does not come or is none', async () => {
  const good = `{ cache: { limitBytes: 1, usedBytes: 1, chunks: 1, hits: 1, misses: 1 }, requests: { total: 1, inFlight: 0, bytesRead: 1 },
    errors: { count: 0, recent: [] }, sources: [] }`
  const session = open(`let asked = 0
    port.on('message', ({ type, id }) => {
      asked++
      if (asked === 1) port.postMessage({ type, id, status: ${good} })
      if (asked === 2) port.postMessage({ type, id, status: { cache: 5 } })
    })`)
  expect((await session.status(2_000))?.cache.limitBytes).toBe(1)
  expect(await session.status(2_000)).toBeUndefined()
  expect(await session.status(50)).toBeUndefined()
})

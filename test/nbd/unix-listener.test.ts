import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { listenOnPath } from '#src/nbd/unix-listener.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = temporaryFolder()

async function listen(path: string): Promise<Server> {
  const server = createServer((socket) => socket.on('error', () => undefined).end('hello'))
  await listenOnPath(server, path)
  return server
}

const close = (server: Server) => new Promise((resolve) => server.close(resolve))

/** A socket whose server was killed. */
async function staleSocket(path: string): Promise<void> {
  const child = spawn(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'close')
  expect(lstatSync(path).isSocket()).toBe(true)
}

it('only the owner may connect, whatever the umask', async () => {
  const path = join(folder, 'plain.sock')
  const before = process.umask(0)
  try {
    const server = await listen(path)
    expect(lstatSync(path).mode & 0o777).toBe(0o600)
    expect(process.umask()).toBe(0)
    await close(server)
    expect(existsSync(path)).toBe(false)
  } finally {
    process.umask(before)
  }
})

it('the socket of a dead server is replaced, that of a live one refused', async () => {
  const path = join(folder, 'stale.sock')
  await staleSocket(path)
  const server = await listen(path)
  expect(lstatSync(path).mode & 0o777).toBe(0o600)
  await expect(listen(path)).rejects.toMatchObject({ tag: 'busy' })
  await close(server)
})

it('of many that find a stale socket one gets it', async () => {
  const path = join(folder, 'race.sock')
  await staleSocket(path)
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => listen(path)))
  const servers = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  expect(servers).toHaveLength(1)
  await close(servers[0]!)
})

it('a file of another kind is left alone', async () => {
  const path = join(folder, 'file')
  writeFileSync(path, 'mine')
  await expect(listen(path)).rejects.toMatchObject({ tag: 'usage' })
  expect(lstatSync(path).size).toBe(4)
})

it('a folder that is not there', async () => {
  await expect(listen(join(folder, 'no/such.sock'))).rejects.toThrow(/cannot listen on .*such\.sock \(E/)
})

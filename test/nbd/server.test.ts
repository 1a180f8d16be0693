import { existsSync, lstatSync } from 'node:fs'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { ReadAt } from '#src/bytes/read-at.js'
import { DiskTable } from '#src/nbd/disk-table.js'
import { parseTcpAddress } from '#src/nbd/listen-address.js'
import { NbdServer } from '#src/nbd/server.js'
import { silentLog } from '#src/errors/log.js'
import { noise } from '../support/chunk-rig.js'
import { MemoryStream } from '../support/memory-stream.js'
import { NbdClient, u32 } from '../support/nbd-client.js'
import { diskOf, nbdRig, type RunningServer } from '../support/nbd-rig.js'

const serve = nbdRig()
const content = noise(1 << 20)
const disk = () => diskOf('disk', new MemoryStream(content))

/** Resolves when the server has as many connections. */
async function untilConnections({ server }: RunningServer, count: number): Promise<void> {
  while (server.connections !== count) await new Promise((resolve) => setTimeout(resolve, 2))
}

async function ready(running: RunningServer): Promise<NbdClient> {
  const client = await running.open()
  await client.greet()
  await client.go('disk')
  return client
}

it('a hundred connections at once read what is there', async () => {
  const running = await serve([disk()])
  const clients = await Promise.all(Array.from({ length: 100 }, () => ready(running)))
  expect(running.server.connections).toBe(100)
  await Promise.all(
    clients.map(async (client, i) => {
      for (let n = 0; n < 5; n++) expect((await client.pread(i * 1000 + n, 65_536)).equals(content.subarray(i * 1000 + n, i * 1000 + n + 65_536))).toBe(true)
    }),
  )
  for (const client of clients) client.end()
  await untilConnections(running, 0)
})

it('one connection too many is sent away, the others stay', async () => {
  const running = await serve([disk()], { limits: { connections: 2 } })
  const clients = [await ready(running), await ready(running)]
  const third = await running.open()
  await third.closed
  expect(running.log.some((line) => line.startsWith('warn a client was sent away'))).toBe(true)
  clients[0]!.end()
  await untilConnections(running, 1)
  expect(await (await ready(running)).pread(0, 10)).toEqual(content.subarray(0, 10))
  expect(await clients[1]!.pread(0, 10)).toEqual(content.subarray(0, 10))
})

it('garbage at any point ends that connection alone, and is no fault of ours', async () => {
  const running = await serve([disk()])
  const witness = await ready(running)
  await fc.assert(
    fc.asyncProperty(fc.nat(2), fc.uint8Array({ minLength: 64, maxLength: 400 }), async (where, garbage) => {
      const client = await running.open()
      if (where > 0) await client.greet()
      if (where > 1) await client.go('disk')
      client.write(Buffer.from(garbage))
      client.socket.end()
      await client.closed
    }),
    { numRuns: 60 },
  )
  expect(await witness.pread(5, 10)).toEqual(content.subarray(5, 15))
  expect(running.log.filter((line) => line.startsWith('error'))).toEqual([])
  witness.end()
  await untilConnections(running, 0)
})

it('clients that vanish in the middle of a message or of an answer leave nothing behind', async () => {
  const running = await serve([disk()])
  for (let i = 0; i < 20; i++) {
    const client = await ready(running)
    for (let n = 0; n < 30; n++) client.request(0, n, 0, 1 << 20, 4)
    if (i % 2 === 0) client.write(u32(0x25609513), u32(0))
    await client.read(100)
    client.end()
  }
  await untilConnections(running, 0)
  expect(running.log.filter((line) => line.startsWith('error'))).toEqual([])
  expect(await (await ready(running)).pread(0, 10)).toEqual(content.subarray(0, 10))
})

it('who sends nothing more still gets what it asked for', async () => {
  const running = await serve([disk()])
  const client = await ready(running)
  for (let i = 0; i < 400; i++) client.request(0, i, i, 1000, 4)
  client.socket.end()
  for (let i = 0; i < 400; i++) {
    const { handle, payload } = await client.chunk()
    expect(payload.subarray(8).equals(content.subarray(Number(handle), Number(handle) + 1000))).toBe(true)
  }
  await client.closed
})

it('DISC: what was asked for before is answered, then the connection ends', async () => {
  const running = await serve([disk()])
  const client = await ready(running)
  client.request(0, 1, 0, 1 << 20, 4)
  client.request(2, 2, 0, 0)
  client.request(0, 3, 0, 512)
  expect((await client.chunk()).payload.subarray(8).equals(content)).toBe(true)
  await client.closed
  expect(client.rest).toHaveLength(0)
})

it('a client that takes nothing is dropped when others need the room, and not before', async () => {
  const big: ReadAt = { name: 'big', size: 1 << 24, peek: () => undefined, read: (_offset, length) => Promise.resolve(new Uint8Array(length)) }
  const running = await serve([diskOf('disk', big)], { limits: { totalBytes: 1 << 23, stalledMs: 1, tendMs: 20 } })
  const lazy = await ready(running)
  lazy.socket.pause()
  lazy.request(0, 1, 0, 1 << 23, 4)
  const other = await ready(running)
  // Longer than the server looks for such clients.
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(running.server.connections).toBe(2)
  expect(await other.pread(0, 1 << 22)).toHaveLength(1 << 22)
  expect(running.log.some((line) => line.includes('it does not go on'))).toBe(true)
  await untilConnections(running, 1)
})

it('a request that waits for storage is named, once', async () => {
  const stuck: ReadAt = { name: 'stuck', size: 4096, peek: () => undefined, read: () => new Promise(() => undefined) }
  const running = await serve([diskOf('disk', stuck)], { limits: { slowMs: 1, tendMs: 20 } })
  const client = await ready(running)
  client.request(0, 1, 0, 512)
  const told = () => running.log.filter((line) => line.startsWith('warn a request waits long'))
  while (told().length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(told()).toHaveLength(1)
  client.end()
})

it('closing waits for what is asked, and cuts off what takes too long', async () => {
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  const slow: ReadAt = { name: 'slow', size: 4096, peek: () => undefined, read: async (_offset, length) => (await gate, new Uint8Array(length)) }
  const running = await serve([diskOf('disk', slow)])
  expect(lstatSync(running.path).mode & 0o777).toBe(0o600)
  const [idle, busy, haggling] = [await ready(running), await ready(running), await running.open()]
  await haggling.greet()
  busy.request(0, 1, 0, 512)
  // Its answer to a wrong request tells that the first one is under way.
  busy.request(99, 2, 0, 0)
  expect((await busy.chunk()).handle).toBe(2n)
  const closing = running.server.close()
  await Promise.all([idle.closed, haggling.closed])
  busy.request(0, 3, 0, 512)
  expect((await busy.chunk()).payload.readUInt32BE(0)).toBe(108)
  letGo()
  expect((await busy.chunk()).handle).toBe(1n)
  await closing
  expect(existsSync(running.path)).toBe(false)

  const stuck: ReadAt = { name: 'stuck', size: 4096, peek: () => undefined, read: () => new Promise(() => undefined) }
  const other = await serve([diskOf('disk', stuck)], { limits: { closingMs: 30 } })
  const client = await ready(other)
  client.request(0, 1, 0, 512)
  client.request(99, 2, 0, 0)
  await client.chunk()
  await other.server.close()
  await client.closed
})

it('TCP: a free port is told', async () => {
  const server = await NbdServer.listen(parseTcpAddress('127.0.0.1:0'), { exports: new DiskTable([disk()]), log: silentLog, onProblem: () => undefined })
  const { address } = server
  if (address.kind !== 'tcp') throw new Error('not TCP')
  expect(address.port).toBeGreaterThan(0)
  const client = await NbdClient.open(address)
  await client.greet()
  await client.go('')
  expect(await client.pread(1, 2)).toEqual(content.subarray(1, 3))
  await expect(NbdServer.listen(address, { exports: new DiskTable([]), log: silentLog, onProblem: () => undefined })).rejects.toThrow(/cannot listen.*EADDRINUSE/)
  client.end()
  await server.close()
})

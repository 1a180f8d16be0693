import { expect, it } from 'vitest'
import type { ReadAt } from '#src/bytes/read-at.js'
import { noise } from '../support/chunk-rig.js'
import { MemoryStream } from '../support/memory-stream.js'
import type { NbdClient } from '../support/nbd-client.js'
import { diskOf, nbdRig, type RunningServer } from '../support/nbd-rig.js'

const serve = nbdRig()
const whole = noise(50_000)

async function ready(running: RunningServer): Promise<NbdClient> {
  const client = await running.open()
  await client.greet()
  await client.go('disk')
  return client
}

it('a connection that has many requests open is not read further, and goes on later', async () => {
  let letGo = (): void => undefined
  const gate = new Promise<void>((resolve) => (letGo = resolve))
  let open = 0
  const slow: ReadAt = { name: 'slow', size: whole.length, peek: () => undefined, read: async (offset, length) => {
    open++
    await gate
    return whole.subarray(offset, offset + length)
  } } // prettier-ignore
  const running = await serve([diskOf('disk', slow)], { limits: { requests: 10 } })
  const client = await ready(running)
  for (let i = 0; i < 50; i++) client.request(0, i, i * 100, 100)
  const other = await ready(running)
  expect(open).toBe(10)
  letGo()
  const handles = new Set<bigint>()
  for (let i = 0; i < 50; i++) handles.add((await client.chunk()).handle)
  expect(handles.size).toBe(50)
  client.end()
  other.end()
})

it('bytes under way are bounded for a connection and for all', async () => {
  const gates: (() => void)[] = []
  const slow: ReadAt = { name: 'slow', size: 1 << 20, peek: () => undefined, read: async (_offset, length) => {
    await new Promise<void>((resolve) => gates.push(resolve))
    return new Uint8Array(length)
  } } // prettier-ignore
  const running = await serve([diskOf('disk', slow)], { limits: { connectionBytes: 1000, totalBytes: 1500 } })
  const clients: NbdClient[] = []
  for (let i = 0; i < 3; i++) {
    const client = await ready(running)
    clients.push(client)
    for (let n = 0; n < 4; n++) client.request(0, n, 0, 500)
  }
  const probe = async (): Promise<void> => {
    const client = await running.open()
    await client.greet()
    await client.option(3)
    client.end()
  }
  await probe()
  expect(gates).toHaveLength(3)
  // What a client who goes has asked for does not keep the others waiting.
  clients[0]!.end()
  let answered = 0
  const count = async (client: NbdClient): Promise<void> => {
    for (let n = 0; n < 4; n++, answered++) await client.chunk()
  }
  const all = Promise.all(clients.slice(1).map(count))
  while (answered < 8) {
    expect(gates.length).toBeLessThanOrEqual(3)
    gates.shift()?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  await all
})

it('a request that is none, and a write of more than 32 MiB, end the connection', async () => {
  const running = await serve([diskOf('disk', new MemoryStream(whole))])
  const one = await ready(running)
  one.write(Buffer.alloc(28))
  await one.closed
  const other = await ready(running)
  other.request(1, 1, 0, (1 << 25) + 1)
  await other.closed
  expect(running.log.filter((line) => line.startsWith('warn a client was dropped'))).toHaveLength(2)
})

import { describe, expect, it } from 'vitest'
import { noise } from '../support/chunk-rig.js'
import { MemoryStream } from '../support/memory-stream.js'
import { u32 } from '../support/nbd-client.js'
import { diskOf, nbdRig } from '../support/nbd-rig.js'

const serve = nbdRig()
const disks = [diskOf('first', new MemoryStream(noise(10_000)))]
const TOO_BIG = 0x8000_0009

async function connected() {
  const running = await serve(disks)
  const client = await running.open()
  await client.greet()
  return client
}

it('an option that is too long is passed over', async () => {
  const client = await connected()
  expect((await client.option(7, Buffer.alloc(100_000))).at(-1)!.type).toBe(TOO_BIG)
  expect((await client.go('first')).size).toBe(10_000)
  client.end()
})

describe('clients that break the rules', () => {
  it.each([
    ['flags that were not offered', (c: Buffer[]) => c.push(u32(4))],
    ['any option before "fixed" was agreed on', (c: Buffer[]) => c.push(u32(0), Buffer.from('IHAVEOPT'), u32(3), u32(0))],
    ['no option', (c: Buffer[]) => c.push(u32(3), Buffer.alloc(16, 1))],
    ['an option of 4 GiB', (c: Buffer[]) => c.push(u32(3), Buffer.from('IHAVEOPT'), u32(7), u32(0xffff_ffff))],
  ])('%s: dropped, and the log says why', async (_name, fill) => {
    const { open, log } = await serve(disks)
    const client = await open()
    const parts: Buffer[] = []
    fill(parts)
    client.write(...parts)
    await client.closed
    expect(log.filter((line) => line.startsWith('warn a client was dropped'))).toHaveLength(1)
  })

  it('a thousand options without a choice', async () => {
    const client = await connected()
    for (let i = 0; i < 1024; i++) await client.option(99)
    client.sendOption(99)
    await client.closed
  })

  it('silence: dropped after the time for choosing', async () => {
    const { open, log } = await serve(disks, { limits: { negotiationMs: 30 } })
    const silent = await open()
    const half = await open()
    half.write(u32(3), Buffer.from('IHAV'))
    await Promise.all([silent.closed, half.closed])
    expect(log.filter((line) => line.includes('too long to choose'))).toHaveLength(2)
  })
})

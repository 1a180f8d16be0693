import { describe, expect, it } from 'vitest'
import { RangeList } from '#src/bytes/range-list.js'
import { KeyError, SourceError } from '#src/errors/errors.js'
import { MemoryStream } from '../support/memory-stream.js'
import { string, u16, u32 } from '../support/nbd-client.js'
import { diskOf, nbdRig } from '../support/nbd-rig.js'
import { noise } from '../support/chunk-rig.js'

const serve = nbdRig()
const content = noise(10_000)
const changed = new RangeList()
changed.add(0, 512)

const disks = [
  diskOf('first', new MemoryStream(content), { aliases: ['first.img'], volumes: () => Promise.resolve([diskOf('first/p1.ext4', new MemoryStream(content.subarray(0, 512)))]) }),
  diskOf('größe', new MemoryStream(content.subarray(0, 1000)), { bitmap: { name: 'b', ranges: () => Promise.resolve(changed) } }),
  diskOf('locked', new MemoryStream(content), { content: () => Promise.reject(new KeyError('it needs the key ab:cd', {})) }),
  diskOf('broken', new MemoryStream(content), { content: () => Promise.reject(new SourceError('its index is gone', {})) }),
]

const ERR = { unsup: 0x8000_0001, policy: 0x8000_0002, invalid: 0x8000_0003, unknown: 0x8000_0006, tooBig: 0x8000_0009 }
const goData = (name: string, ...wanted: number[]) => Buffer.concat([string(name), u16(wanted.length), ...wanted.map(u16)])

async function connected(flags?: number) {
  const running = await serve(disks)
  const client = await running.open()
  await client.greet(flags)
  return { ...running, client }
}

describe('options', () => {
  it('LIST: names and descriptions, volumes once somebody has looked', async () => {
    const { client } = await connected()
    const list = async () => (await client.option(3)).filter(({ type }) => type === 2).map(({ data }) => data.subarray(4, 4 + data.readUInt32BE(0)).toString())
    expect(await list()).toEqual(['first', 'größe', 'locked', 'broken'])
    await client.option(6, goData('first/p1.ext4'))
    expect(await list()).toEqual(['first', 'first/p1.ext4', 'größe', 'locked', 'broken'])
    const [first] = await client.option(3)
    expect(first!.data).toEqual(Buffer.concat([string('first'), Buffer.from('first of the test')]))
    expect((await client.option(3, Buffer.from('x'))).at(-1)!.type).toBe(ERR.invalid)
    client.end()
  })

  it('INFO and GO: size, flags, and what was asked for', async () => {
    const { client } = await connected()
    const replies = await client.option(6, goData('first.img', 1, 2, 3, 999))
    expect(replies.map(({ type }) => type)).toEqual([3, 3, 3, 3, 1])
    // HAS_FLAGS, READ_ONLY, CAN_MULTI_CONN, SEND_CACHE
    expect(replies[0]!.data.toString('hex')).toBe(`0000${(10_000).toString(16).padStart(16, '0')}${(1 + 2 + 256 + 1024).toString(16).padStart(4, '0')}`)
    expect(replies[1]!.data).toEqual(Buffer.concat([u16(1), Buffer.from('first')]))
    expect(replies[2]!.data).toEqual(Buffer.concat([u16(2), Buffer.from('first of the test')]))
    expect(replies[3]!.data).toEqual(Buffer.concat([u16(3), u32(1), u32(4096), u32(2 ** 25)]))
    const { size, flags } = await client.go('')
    expect(size).toBe(10_000)
    expect(flags).toBe(1 + 2 + 128 + 256 + 1024)
    expect(await client.pread(10, 100)).toEqual(content.subarray(10, 110))
    client.end()
  })

  it('what is not there or cannot be opened is refused with a reason, and haggling goes on', async () => {
    const { client, problems } = await connected()
    const refusal = async (name: string) => {
      const last = (await client.option(7, goData(name))).at(-1)!
      return [last.type, last.data.toString()]
    }
    expect(await refusal('nothing')).toEqual([ERR.unknown, 'there is no export of the name "nothing"'])
    expect(await refusal('locked')).toEqual([ERR.policy, 'it needs the key ab:cd'])
    expect(await refusal('broken')).toEqual([ERR.unknown, 'its index is gone'])
    expect(problems.map(({ name }) => name)).toEqual(['locked', 'broken'])
    expect((await client.option(7, Buffer.from('xx'))).at(-1)!.type).toBe(ERR.invalid)
    expect((await client.option(99)).at(-1)!.type).toBe(ERR.unsup)
    expect((await client.option(5)).at(-1)!.type).toBe(ERR.policy)
    expect((await client.option(8, Buffer.from('x'))).at(-1)!.type).toBe(ERR.invalid)
    expect((await client.go('größe')).size).toBe(1000)
    client.end()
  })

  it('metadata contexts: listed, selected, forgotten with another export', async () => {
    const { client } = await connected()
    const ask = async (option: number, name: string, ...queries: string[]) => {
      const replies = await client.option(option, Buffer.concat([string(name), u32(queries.length), ...queries.map(string)]))
      return replies.map(({ type, data }) => (type === 4 ? `${data.readUInt32BE(0)} ${data.subarray(4).toString()}` : type))
    }
    expect(await ask(9, 'größe')).toEqual([ERR.invalid])
    await client.option(8)
    expect(await ask(9, 'größe')).toEqual(['0 base:allocation', '0 qemu:dirty-bitmap:b', 1])
    expect(await ask(9, 'größe', 'qemu:')).toEqual(['0 qemu:dirty-bitmap:b', 1])
    expect(await ask(9, 'first', 'qemu:')).toEqual([1])
    expect(await ask(10, 'größe', 'base:', 'x-unknown:y')).toEqual([1])
    expect(await ask(10, 'größe')).toEqual([1])
    expect(await ask(10, 'größe', 'qemu:dirty-bitmap:b', 'base:allocation', 'base:allocation')).toEqual(['1 qemu:dirty-bitmap:b', '2 base:allocation', 1])
    expect(await ask(10, 'nothing', 'base:allocation')).toEqual([ERR.unknown])
    const many = Buffer.concat([string('first'), u32(300), ...new Array<Buffer>(300).fill(string('base:x'))])
    expect((await client.option(9, many)).at(-1)!.type).toBe(ERR.tooBig)
    await ask(10, 'größe', 'base:allocation')
    await client.go('first', { structured: false })
    client.request(7, 1, 0, 512)
    expect((await client.chunk()).payload.readUInt32BE(0)).toBe(22)
    client.end()
  })

  it('ABORT is acknowledged, and the connection ends', async () => {
    const { client } = await connected()
    expect((await client.option(2)).at(-1)!.type).toBe(1)
    await client.closed
  })
})

describe('EXPORT_NAME', () => {
  it('leads to simple replies, with and without the zeros', async () => {
    for (const [flags, zeros] of [[3, 0], [1, 124], [0, 124]] as const) {
      const { client } = await connected(flags)
      client.sendOption(1, Buffer.from('first'))
      const reply = await client.read(10 + zeros)
      expect(Number(reply.readBigUInt64BE(0))).toBe(10_000)
      expect(reply.subarray(10).equals(Buffer.alloc(zeros))).toBe(true)
      expect(await client.pread(0, 10_000)).toEqual(content)
      client.request(0, 7, 9_999, 2)
      expect(await client.chunk()).toMatchObject({ type: undefined, error: 22, handle: 7n })
      client.end()
    }
  })

  it('of an export that is not there ends the connection', async () => {
    for (const name of [Buffer.from('nothing'), Buffer.from([0xff]), Buffer.alloc(5000, 97)]) {
      const { client, log } = await connected()
      client.sendOption(1, name)
      await client.closed
      expect(client.rest).toHaveLength(0)
      expect(log.filter((line) => line.startsWith('warn'))).toHaveLength(1)
    }
  })
})

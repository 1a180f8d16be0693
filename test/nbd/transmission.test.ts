import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ReadAt } from '#src/bytes/read-at.js'
import { IntegrityError } from '#src/errors/errors.js'
import { noise } from '../support/chunk-rig.js'
import { MemoryStream } from '../support/memory-stream.js'
import { extentsOf, type NbdClient } from '../support/nbd-client.js'
import { diskOf, nbdRig } from '../support/nbd-rig.js'
import { SparseStream } from '../support/sparse-stream.js'

const serve = nbdRig()
const PIECE = 8192
const pieces = [undefined, noise(PIECE, 3), noise(PIECE, 5), undefined, undefined, noise(PIECE, 7), undefined]
const whole = Buffer.concat(pieces.map((piece) => piece ?? Buffer.alloc(PIECE)))

async function opened(stream: ReadAt, options: Parameters<NbdClient['go']>[1] = {}) {
  const running = await serve([diskOf('disk', stream)])
  const client = await running.open()
  await client.greet()
  await client.go('disk', options)
  return { ...running, client }
}

/** What the reply to one request is: types of its chunks, or `-N` for an error. */
async function outcome(client: NbdClient, type: number, offset: number | bigint, length: number, flags = 0): Promise<(number | undefined)[]> {
  client.request(type, 5, offset, length, flags)
  return (await client.reply(5n)).map((chunk) => (chunk.type !== undefined && chunk.type >= 0x8000 ? -chunk.payload.readUInt32BE(0) : chunk.type))
}

describe('READ', () => {
  it('gives any range, whatever holes are in it', async () => {
    const { client } = await opened(new SparseStream(pieces))
    const range = fc.tuple(fc.nat(whole.length - 1), fc.nat(whole.length - 1)).map(([a, b]) => [Math.min(a, b), Math.abs(a - b) + 1] as const)
    await fc.assert(
      fc.asyncProperty(range, async ([offset, length]) => {
        expect((await client.pread(offset, length)).equals(whole.subarray(offset, offset + length))).toBe(true)
        expect((await client.pread(offset, length, 4)).equals(whole.subarray(offset, offset + length))).toBe(true)
      }),
      { numRuns: 60 },
    )
    client.end()
  })

  it('sends holes as holes, and with DF everything in one piece', async () => {
    const { client } = await opened(new SparseStream(pieces))
    expect(await outcome(client, 0, 0, whole.length)).toEqual([2, 2, 2, 1, 1])
    expect(await outcome(client, 0, 0, whole.length, 4)).toEqual([1])
    expect(await outcome(client, 0, 0, 512)).toEqual([2])
    expect(await outcome(client, 0, 0, 0)).toEqual([0])
    client.end()
  })

  it('many requests at once: each is answered once, in any order', async () => {
    const { client } = await opened(new SparseStream(pieces))
    const count = 1000
    for (let i = 0; i < count; i++) client.request(0, i, (i * 997) % (whole.length - 100), 100, 4)
    const seen = new Set<bigint>()
    for (let i = 0; i < count; i++) {
      const { handle, payload } = await client.chunk()
      const at = (Number(handle) * 997) % (whole.length - 100)
      expect(payload.subarray(8).equals(whole.subarray(at, at + 100))).toBe(true)
      seen.add(handle)
    }
    expect(seen.size).toBe(count)
    client.end()
  })

  it('quick answers do not wait for slow ones', async () => {
    let letGo = (): void => undefined
    const gate = new Promise<void>((resolve) => (letGo = resolve))
    const memory = new MemoryStream(whole)
    const slow: ReadAt = { name: 'slow', size: whole.length, peek: () => undefined, read: async (offset, length) => {
      if (offset === 0) await gate
      return memory.read(offset, length)
    } } // prettier-ignore
    const { client } = await opened(slow)
    client.request(0, 1, 0, 512)
    client.request(0, 2, 512, 512)
    expect((await client.chunk()).handle).toBe(2n)
    letGo()
    expect((await client.chunk()).handle).toBe(1n)
    client.end()
  })
})

describe('errors', () => {
  const damaged = (): ReadAt => {
    const sparse = new SparseStream(pieces)
    return {
      name: 'damaged', size: whole.length, peek: () => undefined,
      nextData: (offset) => sparse.nextData(offset),
      nextHole: (offset) => sparse.nextHole(offset),
      read: async (offset, length) => {
        if (offset < 2 * PIECE && offset + length > PIECE) throw new IntegrityError('a chunk is not what it should be', { stream: 'damaged', offset: Math.max(offset, PIECE + 512), digest: 'abc' })
        return sparse.read(offset, length)
      },
    } // prettier-ignore
  }

  it('lost bytes: EIO with their place, the rest of the answer and the connection go on', async () => {
    const { client, problems } = await opened(damaged())
    client.request(0, 5, 0, whole.length)
    const chunks = await client.reply(5n)
    const error = chunks.find(({ type }) => type === 0x8002)!
    expect(error.payload.readUInt32BE(0)).toBe(5)
    const length = error.payload.readUInt16BE(4)
    expect(error.payload.subarray(6, 6 + length).toString()).toBe('a chunk is not what it should be')
    expect(Number(error.payload.readBigUInt64BE(6 + length))).toBe(PIECE + 512)
    expect(chunks.filter(({ type }) => type === 1)).toHaveLength(1)
    expect(problems).toHaveLength(1)
    expect(await client.pread(5 * PIECE, PIECE)).toEqual(pieces[5])
    client.end()
  })

  it('with simple replies: EIO and no data, the connection goes on', async () => {
    const { client } = await opened(damaged(), { structured: false })
    await expect(client.pread(PIECE, 10)).rejects.toThrow('error 5')
    expect(await client.pread(5 * PIECE, PIECE)).toEqual(pieces[5])
    client.end()
  })

  it('CACHE loads, and says what cannot be loaded', async () => {
    const { client } = await opened(damaged())
    expect(await outcome(client, 5, 5 * PIECE, PIECE)).toEqual([0])
    expect(await outcome(client, 5, PIECE, 10)).toEqual([-5])
    client.end()
  })

  it('nothing can be written, and what was to be written is passed over', async () => {
    const { client } = await opened(new SparseStream(pieces))
    client.request(1, 5, 0, 100_000, 0, Buffer.alloc(100_000, 0x25))
    expect((await client.reply(5n))[0]!.payload.readUInt32BE(0)).toBe(1)
    expect(await outcome(client, 4, 0, 512)).toEqual([-1])
    expect(await outcome(client, 6, 0, 512)).toEqual([-1])
    expect(await outcome(client, 3, 0, 0)).toEqual([-22])
    expect(await outcome(client, 77, 0, 0)).toEqual([-22])
    expect(await client.pread(PIECE, PIECE)).toEqual(pieces[1])
    client.end()
  })

  it('ranges and flags that are wrong', async () => {
    const { client } = await opened(new SparseStream(pieces))
    const end = whole.length
    expect(await outcome(client, 0, end - 1, 2)).toEqual([-22])
    expect(await outcome(client, 0, 2n ** 63n, 1)).toEqual([-22])
    expect(await outcome(client, 0, 0, 0xffff_ffff)).toEqual([-22])
    expect(await outcome(client, 0, 0, 1, 8)).toEqual([-22])
    expect(await outcome(client, 5, 0, end + 1)).toEqual([-22])
    expect(await outcome(client, 5, 0, 1, 1)).toEqual([-22])
    expect(await outcome(client, 7, 0, 512)).toEqual([-22])
    expect(await outcome(client, 0, end, 0)).toEqual([0])
    client.end()
  })
})

describe('BLOCK_STATUS', () => {
  it('holes and data, one extent when only one is wanted', async () => {
    const { client } = await opened(new SparseStream(pieces), { contexts: ['base:allocation'] })
    client.request(7, 5, 0, whole.length)
    const expected = [[PIECE, 3], [2 * PIECE, 0], [2 * PIECE, 3], [PIECE, 0], [PIECE, 3]]
    expect((await client.reply(5n)).map(extentsOf)).toEqual([{ context: 1, extents: expected }])
    client.request(7, 6, PIECE + 100, whole.length - PIECE - 100, 8)
    expect((await client.reply(6n)).map(extentsOf)).toEqual([{ context: 1, extents: [[2 * PIECE - 100, 0]] }])
    client.request(7, 7, 10, 20)
    expect((await client.reply(7n)).map(extentsOf)).toEqual([{ context: 1, extents: [[20, 3]] }])
    expect(await outcome(client, 7, whole.length - 1, 2)).toEqual([-22])
    expect(await outcome(client, 7, 0, 0)).toEqual([-22])
    client.end()
  })

  it('a stream that knows nothing of holes is all data', async () => {
    const { client } = await opened(new MemoryStream(whole), { contexts: ['base:allocation'] })
    client.request(7, 5, 0, whole.length)
    expect((await client.reply(5n)).map(extentsOf)).toEqual([{ context: 1, extents: [[whole.length, 0]] }])
    client.end()
  })
})

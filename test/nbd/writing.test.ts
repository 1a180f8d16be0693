import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ReadAt } from '#src/bytes/read-at.js'
import { TargetError } from '#src/errors/errors.js'
import type { ExportWriter } from '#src/nbd/export.js'
import { noise } from '../support/chunk-rig.js'
import type { NbdClient } from '../support/nbd-client.js'
import { diskOf, nbdRig } from '../support/nbd-rig.js'

const serve = nbdRig()
const SIZE = 20_000

/** A disk in memory that can be written to, and says how often it was flushed. */
class MemoryDisk implements ReadAt, ExportWriter {
  readonly name = 'disk'
  readonly size = SIZE
  readonly bytes = noise(SIZE, 5)
  flushes = 0
  failure: Error | undefined

  peek(): undefined {
    return undefined
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return this.bytes.slice(offset, offset + length)
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    await Promise.resolve()
    if (this.failure !== undefined) throw this.failure
    this.bytes.set(bytes, offset)
  }

  zero(offset: number, length: number): Promise<void> {
    return this.write(new Uint8Array(length), offset)
  }

  async flush(): Promise<void> {
    this.flushes++
  }
}

async function opened(structured = true, limits = {}) {
  const disk = new MemoryDisk()
  const running = await serve([diskOf('disk', disk, { content: () => Promise.resolve({ stream: disk, start: 0, size: SIZE, writer: disk }) })], { limits })
  const open = async (): Promise<NbdClient> => {
    const client = await running.open()
    await client.greet()
    const { flags } = await client.go('disk', { structured })
    // HAS_FLAGS, FLUSH, FUA, TRIM, WRITE_ZEROES, CAN_MULTI_CONN, CACHE; no READ_ONLY
    expect(flags & ~128).toBe(1 + 4 + 8 + 32 + 64 + 256 + 1024)
    return client
  }
  return { ...running, disk, client: await open(), openAnother: open }
}

/** 0, or the error. */
async function result(client: NbdClient, type: number, offset: number, length: number, flags = 0, data?: Buffer): Promise<number> {
  client.request(type, 77, offset, length, flags, data)
  const chunk = await client.chunk()
  expect(chunk).toMatchObject({ handle: 77n, done: true })
  return chunk.type !== undefined && chunk.type >= 0x8000 ? chunk.payload.readUInt32BE(0) : chunk.error
}

const range = fc.tuple(fc.nat(SIZE), fc.nat(SIZE)).map(([a, b]) => [Math.min(a, b), Math.abs(a - b)] as const)
const step = fc.record({ kind: fc.constantFrom('write', 'zero', 'zero-full', 'trim', 'flush'), range, fua: fc.boolean(), seed: fc.nat(1000) })

it.each([[true], [false]])('writes, zeros and trims: reads of another connection have them (structured: %s)', async (structured) => {
  const { client, openAnother, disk } = await opened(structured)
  const other = await openAnother()
  const model = Buffer.from(disk.bytes)
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
      for (const { kind, range: [offset, length], fua, seed } of steps) {
        const flags = fua ? 1 : 0
        const before = disk.flushes
        if (kind === 'flush') {
          expect(await result(client, 3, 0, 0)).toBe(0)
        } else if (kind === 'write') {
          const data = noise(length, seed)
          expect(await result(client, 1, offset, length, flags, data)).toBe(0)
          data.copy(model, offset)
        } else {
          expect(await result(client, kind === 'trim' ? 4 : 6, offset, length, flags | (kind === 'zero-full' ? 2 : 0))).toBe(0)
          model.fill(0, offset, offset + length)
        }
        expect(disk.flushes > before).toBe(fua || kind === 'flush')
      }
      expect((await other.pread(0, SIZE)).equals(model)).toBe(true)
    }),
    { numRuns: 40 },
  )
  client.end()
  other.end()
})

describe('what goes wrong', () => {
  it('behind the end: ENOSPC, and what was to be written is passed over', async () => {
    const { client, disk } = await opened()
    const before = Buffer.from(disk.bytes)
    expect(await result(client, 1, SIZE - 1, 2, 0, Buffer.alloc(2))).toBe(28)
    expect(await result(client, 6, SIZE - 1, 2)).toBe(28)
    expect(await result(client, 4, SIZE - 1, 2)).toBe(28)
    expect(await result(client, 1, 0, 1, 2, Buffer.alloc(1))).toBe(22)
    expect(await result(client, 6, 0, 1, 16)).toBe(22)
    expect((await client.pread(0, SIZE)).equals(before)).toBe(true)
    client.end()
  })

  it('a full disk is ENOSPC, another failure EIO, and both are told', async () => {
    const { client, disk, problems } = await opened()
    disk.failure = new TargetError('no room', { code: 'ENOSPC' })
    expect(await result(client, 1, 0, 1, 0, Buffer.alloc(1))).toBe(28)
    disk.failure = new TargetError('it is broken', { code: 'EIO' })
    expect(await result(client, 6, 0, 1)).toBe(5)
    expect(problems).toHaveLength(2)
    disk.failure = undefined
    expect(await result(client, 1, 0, 1, 0, Buffer.alloc(1))).toBe(0)
    client.end()
  })

  it('half a write changes nothing, and gives back the room it took', async () => {
    const { client, disk, server, openAnother } = await opened(true, { totalBytes: 10_000, connectionBytes: 10_000 })
    const before = Buffer.from(disk.bytes)
    client.request(1, 1, 0, 10_000, 0, Buffer.alloc(9_999))
    const other = await openAnother()
    const waiting = other.pread(0, 10_000)
    client.end()
    expect((await waiting).equals(before.subarray(0, 10_000))).toBe(true)
    expect(disk.bytes.equals(before)).toBe(true)
    while (server.connections > 1) await new Promise((resolve) => setTimeout(resolve, 2))
    other.end()
  })

  it('who stops in the middle of a write is dropped when others need the room', async () => {
    const { client, openAnother, log } = await opened(true, { totalBytes: 10_000, stalledMs: 1, tendMs: 20 })
    client.request(1, 1, 0, 10_000, 0, Buffer.alloc(100))
    const other = await openAnother()
    expect(await other.pread(0, 10)).toHaveLength(10)
    await client.closed
    expect(log.some((line) => line.includes('it does not go on'))).toBe(true)
    other.end()
  })
})

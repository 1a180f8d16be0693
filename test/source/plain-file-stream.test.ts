import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SourceError, TruncatedError } from '#src/errors/errors.js'
import { openPlainFile, PlainFileStream } from '#src/source/plain-file-stream.js'

const SIZE = 12 * 1024 * 1024 + 12345
const data = Buffer.alloc(SIZE)
for (let i = 0; i < SIZE; i += 4) data.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, Math.min(i, SIZE - 4))
let dir: string
let path: string

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'pbsfs-plain-'))
  path = join(dir, 'a.pxar')
  writeFileSync(path, data)
})
afterAll(() => rmSync(dir, { recursive: true }))

describe('a lone file as a stream', () => {
  it('any read equals the slice, and what was read can be peeked at', async () => {
    const stream = await openPlainFile(path)
    expect(stream).toMatchObject({ name: path, size: SIZE })
    expect(stream.peek(0, 10)).toBeUndefined()
    await fc.assert(
      fc.asyncProperty(fc.nat(SIZE), fc.oneof(fc.nat(5000), fc.nat(3_000_000)), async (offset, wanted) => {
        const length = Math.min(wanted, SIZE - offset)
        const bytes = await stream.read(offset, length)
        expect(data.subarray(offset, offset + length).equals(bytes)).toBe(true)
        const peeked = stream.peek(offset, length)
        if (peeked !== undefined) expect(data.subarray(offset, offset + length).equals(peeked)).toBe(true)
      }),
    )
    await stream.read(100, 10)
    expect(Buffer.from(stream.peek(200, 10)!)).toEqual(data.subarray(200, 210))
    expect(stream.peek(1024 * 1024 - 5, 10)).toBeUndefined()
    await stream.close()
  })

  it('a result is a copy of its own', async () => {
    const stream = await openPlainFile(path)
    const first = await stream.read(0, 10)
    first.fill(0)
    expect(Buffer.from(await stream.read(0, 10))).toEqual(data.subarray(0, 10))
    await stream.close()
  })

  it('many readers of one block read it once, and all are right', async () => {
    const stream = await openPlainFile(path)
    const parts = await Promise.all(Array.from({ length: 50 }, (_, i) => stream.read(i * 1000, 1000)))
    expect(Buffer.concat(parts).equals(data.subarray(0, 50_000))).toBe(true)
    await stream.close()
  })

  it('names what is wrong', async () => {
    const stream = await openPlainFile(path)
    for (const [offset, length] of [[SIZE, 1], [SIZE - 5, 6], [-1, 2], [0, SIZE + 1]] as const) {
      await expect(stream.read(offset, length)).rejects.toBeInstanceOf(TruncatedError)
    }
    await stream.close()
    await expect(openPlainFile(join(dir, 'none.pxar'))).rejects.toMatchObject({ tag: 'source', fields: { code: 'ENOENT' } })
    await expect(openPlainFile(dir)).rejects.toBeInstanceOf(SourceError)
    await expect(openPlainFile('/dev/null')).rejects.toMatchObject({ fields: { code: 'ENXIO' } })
  })

  it('a file that is cut while in use', async () => {
    const other = join(dir, 'b.pxar')
    writeFileSync(other, data.subarray(0, 3_000_000))
    const stream = await openPlainFile(other)
    await stream.read(0, 100)
    truncateSync(other, 2_000_000)
    await expect(stream.read(2_500_000, 10)).rejects.toMatchObject({ tag: 'truncated', fields: { stream: other, expected: 3_000_000 } })
    await expect(stream.read(0, 3_000_000)).rejects.toBeInstanceOf(TruncatedError)
    expect(Buffer.from(await stream.read(0, 100))).toEqual(data.subarray(0, 100))
    await stream.close()
  })
})

describe('a disk that cannot read some of its blocks', () => {
  it('costs the bytes in them, not those beside them', async () => {
    const broken = { from: 3 * 1024 * 1024 + 8192, to: 3 * 1024 * 1024 + 12_288 }
    const read = (into: Uint8Array, at: number, length: number, offset: number) => {
      if (offset < broken.to && offset + length > broken.from) return Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }))
      into.set(data.subarray(offset, offset + length), at)
      return Promise.resolve({ bytesRead: length, buffer: into })
    }
    const stream = new PlainFileStream({ read, close: () => Promise.resolve() } as unknown as FileHandle, 'a.pxar', SIZE)
    const around = await stream.read(broken.from - 5000, 5000)
    expect(Buffer.from(around).equals(data.subarray(broken.from - 5000, broken.from))).toBe(true)
    expect(Buffer.from(await stream.read(broken.to, 5000)).equals(data.subarray(broken.to, broken.to + 5000))).toBe(true)
    await expect(stream.read(broken.from - 1, 2)).rejects.toMatchObject({ tag: 'source', fields: { code: 'EIO' } })
  })
})

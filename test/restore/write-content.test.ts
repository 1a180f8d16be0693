import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AbortedError, TargetError } from '#src/errors/errors.js'
import { copyContent, writeBytes } from '#src/restore/write-content.js'
import { MemoryStream } from '../support/memory-stream.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = temporaryFolder()
const path = join(folder, 'file')

/** Bytes with runs of zeros around the size that becomes a hole. */
const anyBytes = fc
  .array(fc.tuple(fc.boolean(), fc.oneof(fc.integer({ min: 0, max: 300_000 }), fc.constantFrom(65_535, 65_536, 65_537, 131_072))), { maxLength: 5 })
  .map((runs) => Buffer.concat(runs.map(([zeros, length]) => Buffer.alloc(length, zeros ? 0 : 0xa5))))

async function writing(write: (fd: number) => void | Promise<void>): Promise<Buffer> {
  const fd = openSync(path, 'w')
  try {
    await write(fd)
  } finally {
    closeSync(fd)
  }
  return readFileSync(path)
}

test('small files come back byte for byte, whatever zeros are in them', async () => {
  await fc.assert(
    fc.asyncProperty(anyBytes, async (bytes) => {
      expect((await writing((fd) => writeBytes(fd, bytes, 'x'))).equals(bytes)).toBe(true)
    }),
    { numRuns: 60 },
  )
})

test('large ones too, from any place of a stream', async () => {
  const options = { signal: new AbortController().signal, path: 'x', onBytes: () => undefined }
  await fc.assert(
    fc.asyncProperty(anyBytes, fc.nat(5000), async (bytes, start) => {
      const stream = new MemoryStream(Buffer.concat([Buffer.alloc(start, 1), bytes, Buffer.from('behind')]))
      expect((await writing((fd) => copyContent(fd, { stream, start, size: bytes.length }, options))).equals(bytes)).toBe(true)
    }),
    { numRuns: 60 },
  )
})

test('zeros take no room, and all bytes are counted', async () => {
  const bytes = Buffer.concat([Buffer.from('a'), Buffer.alloc(8 << 20), Buffer.from('b')])
  let counted = 0
  const stream = new MemoryStream(bytes)
  await writing((fd) => copyContent(fd, { stream, start: 0, size: bytes.length }, { signal: new AbortController().signal, path: 'x', onBytes: (count) => (counted += count) }))
  expect(counted).toBe(bytes.length)
  expect(statSync(path).blocks * 512).toBeLessThan(300_000)
})

test('where holes mean nothing, zeros are written as zeros, all of them', async () => {
  const bytes = Buffer.concat([Buffer.alloc(70_000), Buffer.from('a'), Buffer.alloc(200_000)])
  const zeroed: [number, number][] = []
  const stream = new MemoryStream(bytes)
  await writing((fd) =>
    copyContent(fd, { stream, start: 0, size: bytes.length }, {
      signal: new AbortController().signal, path: 'x', onBytes: () => undefined,
      writeZeros: async (_fd, offset, length) => void zeroed.push([offset, length]),
    }), // prettier-ignore
  )
  const written = Buffer.alloc(bytes.length, 1)
  for (const [offset, length] of zeroed) written.fill(0, offset, offset + length)
  expect(written.subarray(0, 65_536).equals(bytes.subarray(0, 65_536))).toBe(true)
  expect(written.subarray(-130_000).equals(bytes.subarray(-130_000))).toBe(true)
})

test('ended: no more is written', async () => {
  const abort = new AbortController()
  const stream = new MemoryStream(Buffer.alloc(20 << 20, 1))
  const copy = writing((fd) => copyContent(fd, { stream, start: 0, size: 20 << 20 }, { signal: abort.signal, path: 'x', onBytes: () => abort.abort() }))
  await expect(copy).rejects.toThrow(AbortedError)
  expect(statSync(path).size).toBeLessThan(20 << 20)
})

test('a target that takes nothing is named', async () => {
  const fd = openSync('/dev/full', 'w')
  try {
    expect(() => writeBytes(fd, Buffer.from('x'), 'some/file')).toThrow(/^some\/file: cannot write: no space is left \(ENOSPC\)$/)
    expect(() => writeBytes(fd, Buffer.from('x'), 'some/file')).toThrow(TargetError)
  } finally {
    closeSync(fd)
  }
})

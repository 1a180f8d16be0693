import { expect, test } from 'vitest'
import { ChunkUnavailableError, IntegrityError, KeyError, SourceError } from '#src/errors/errors.js'
import type { ChunkSource } from '#src/source/datastore.js'
import { ChunkDecoder } from '#src/workers/chunk-decoder.js'
import { noise } from '../support/chunk-rig.js'
import { digestOf, encodeBlob, testKey } from '../support/datastore-writer.js'

const PLAIN = noise(5000, 3)
const key = { id: 1, key: { encKey: testKey.encKey, idKey: testKey.idKey } }

function gives(make: () => Uint8Array): ChunkSource {
  return { readChunk: make, close: () => undefined }
}

function fails(error: Error): ChunkSource {
  return gives(() => {
    throw error
  })
}

const request = { digest: digestOf(PLAIN), encrypted: false, stream: 'a' }
const broken = new SourceError('the disk cannot read it', { code: 'EIO', digest: digestOf(PLAIN).toString('hex') })
const whole = gives(() => encodeBlob(PLAIN, 'zstd'))

test('a source whose disk fails, lacks the chunk or has another one: the next is asked, and it is told', async () => {
  const first: [string, ChunkSource][] = [
    ['EIO', fails(broken)],
    ['missing', fails(new ChunkUnavailableError('missing'))],
    ['another content', gives(() => encodeBlob(noise(5000, 5), 'zstd'))],
    ['no blob', gives(() => Buffer.from('nothing of the kind'))],
  ]
  for (const [what, source] of first) {
    const target = new Uint8Array(PLAIN.length)
    const found = await new ChunkDecoder([source, whole]).decode(request, target)
    expect([what, found?.source, Buffer.from(target).equals(PLAIN)]).toEqual([what, 1, true])
    expect(found?.error).toBeInstanceOf(Error)
  }
})

test('the first source is not told of', async () => {
  expect(await new ChunkDecoder([whole, fails(broken)]).decode(request, new Uint8Array(PLAIN.length))).toBeUndefined()
})

test('bytes of a fallback are verified as any others', async () => {
  const decoder = new ChunkDecoder([fails(broken), gives(() => encodeBlob(noise(5000, 5), 'zstd'))])
  const error: unknown = await decoder.decode(request, new Uint8Array(PLAIN.length)).catch((failure: unknown) => failure)
  expect(error).toBeInstanceOf(SourceError)
  expect((error as SourceError).message).toMatch(/cannot read it; fallback: .*digest/)
  expect((error as SourceError).fields['code']).toBe('EIO')
})

test('encrypted chunks come from a fallback as well, under the same key only', async () => {
  const digest = digestOf(PLAIN, testKey)
  const encrypted = gives(() => encodeBlob(PLAIN, 'encrypted-zstd', { key: testKey }))
  const asked = { digest, encrypted: true, keyId: 1, stream: 'a' }
  const target = new Uint8Array(PLAIN.length)
  expect((await new ChunkDecoder([fails(broken), encrypted], [key]).decode(asked, target))?.source).toBe(1)
  expect(Buffer.from(target).equals(PLAIN)).toBe(true)
  await expect(new ChunkDecoder([encrypted, encrypted]).decode(asked, target)).rejects.toBeInstanceOf(KeyError)
  await expect(new ChunkDecoder([whole, whole], [key]).decode(asked, target)).rejects.toBeInstanceOf(IntegrityError)
})

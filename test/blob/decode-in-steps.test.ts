import { expect, test } from 'vitest'
import { decodeBlobFile, decodeBlobFileInSteps } from '#src/blob/decode.js'
import { FormatError, IntegrityError } from '#src/errors/errors.js'
import { encodeBlob } from '../support/datastore-writer.js'

const MiB = 1024 * 1024

test.each([{}, { withoutContentSize: true }, { frames: 3 }])('a blob of many steps has the content it has in one go (%j)', async (options) => {
  const plain = Buffer.alloc(5 * MiB + 17, 'some text that repeats ')
  const blob = encodeBlob(plain, 'zstd', options)
  expect(Buffer.from(await decodeBlobFileInSteps(blob, 'log')).equals(plain)).toBe(true)
  expect(Buffer.from(decodeBlobFile(blob, 'log')).equals(plain)).toBe(true)
})

test('others get their turn while a blob unfolds to far more than it is', async () => {
  const blob = encodeBlob(Buffer.alloc(64 * MiB), 'zstd')
  let turns = 0
  let done = false
  const decoding = decodeBlobFileInSteps(blob, 'bomb').finally(() => (done = true))
  while (!done) {
    turns++
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect((await decoding).length).toBe(64 * MiB)
  expect(turns).toBeGreaterThan(20)
})

test('the bound holds, and damage is named', async () => {
  const blob = encodeBlob(Buffer.alloc(3 * MiB), 'zstd')
  await expect(decodeBlobFileInSteps(blob, 'big', MiB)).rejects.toBeInstanceOf(FormatError)
  blob[blob.length - 1]! ^= 1
  await expect(decodeBlobFileInSteps(blob, 'bad')).rejects.toBeInstanceOf(IntegrityError)
})

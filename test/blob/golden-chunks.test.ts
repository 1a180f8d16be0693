import { pbkdf2Sync } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { chunkDigest, decodePayload } from '#src/blob/decode.js'
import { parseBlob, verifyCrc } from '#src/blob/data-blob.js'
import { MAX_CHUNK_SIZE } from '#src/bytes/limits.js'
import { exampleStore, goldenDir } from '../support/golden.js'

const golden = goldenDir()

function readKey(path: string): { encKey: Buffer; idKey: Buffer } {
  const { data } = JSON.parse(readFileSync(path, 'utf8')) as { data: string }
  const encKey = Buffer.from(data, 'base64')
  return { encKey, idKey: pbkdf2Sync(encKey, '_id_key', 10, 32, 'sha256') }
}

/** Decodes every chunk of a store; encrypted ones only when the key fits. */
function decodeAll(store: string, key?: { encKey: Buffer; idKey: Buffer }): Record<string, number> {
  const seen: Record<string, number> = { plain: 0, encrypted: 0, locked: 0, compressed: 0, raw: 0 }
  for (const prefix of readdirSync(join(store, '.chunks'))) {
    for (const name of readdirSync(join(store, '.chunks', prefix))) {
      const digest = Buffer.from(name, 'hex')
      const blob = parseBlob(readFileSync(join(store, '.chunks', prefix, name)), name, digest)
      verifyCrc(blob)
      let plain: Uint8Array
      try {
        plain = decodePayload(blob, MAX_CHUNK_SIZE, key)
      } catch (error) {
        if (!blob.encrypted) throw error
        seen['locked']!++
        continue
      }
      expect(chunkDigest(plain, blob.encrypted ? key!.idKey : undefined)).toEqual(digest)
      seen[blob.encrypted ? 'encrypted' : 'plain']!++
      seen[blob.compressed ? 'compressed' : 'raw']!++
    }
  }
  return seen
}

describe('chunks written by the real server', () => {
  it('the example store decodes', () => {
    const seen = decodeAll(exampleStore)
    expect(seen['plain']).toBeGreaterThan(5)
    expect(seen['locked']).toBeGreaterThan(0)
  })

  it.skipIf(golden === undefined)('the golden store decodes, encrypted chunks with their key', () => {
    const seen = decodeAll(join(golden!, 'store'), readKey(join(golden!, 'keys/plain.key')))
    expect(seen['plain']).toBeGreaterThan(100)
    expect(seen['encrypted']).toBeGreaterThan(5)
    expect(seen['raw']).toBeGreaterThan(0)
  })
})

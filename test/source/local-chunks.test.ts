import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, truncateSync, utimesSync, statSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { decodeChunk } from '#src/blob/decode.js'
import { ChunkUnavailableError, IntegrityError, isPbsfsError, SourceError } from '#src/errors/errors.js'
import type { ChunkSource } from '#src/source/datastore.js'
import { openChunkSource } from '#src/source/open-chunk-source.js'
import { openLocalDatastore } from '#src/source/local-datastore.js'
import { looksLikeS3Cache } from '#src/source/s3-cache.js'
import { DatastoreWriter, digestOf, encodeBlob } from '../support/datastore-writer.js'

const data = Buffer.from('some content of a chunk')

let dir: string
let writer: DatastoreWriter
let source: ChunkSource

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'pbsfs-chunks-'))
  writer = new DatastoreWriter(join(dir, 'store'))
  source = openChunkSource({ kind: 'local', path: writer.path })
})
afterEach(() => {
  source.close()
  rmSync(dir, { recursive: true, force: true })
})

function errorOf(digest: Uint8Array, from: ChunkSource = source): Error & { fields: Record<string, unknown> } {
  try {
    void from.readChunk(digest)
  } catch (error) {
    if (!isPbsfsError(error)) throw error
    return error
  }
  throw new Error('nothing was thrown')
}

const openFiles = (): number => readdirSync('/proc/self/fd').length

describe('chunks of a directory', () => {
  it('are read as they are stored, one after the other through one buffer', () => {
    const first = writer.addChunk(data, 'plain')
    const big = writer.addChunk(Buffer.alloc(3_000_000, 'x'), 'plain')
    expect(Buffer.from(source.readChunk(first) as Uint8Array)).toEqual(encodeBlob(data, 'plain'))
    expect(source.readChunk(big) as Uint8Array).toHaveLength(3_000_012)
    const out = new Uint8Array(data.length)
    decodeChunk(source.readChunk(first) as Uint8Array, first, out, false)
    expect(Buffer.from(out)).toEqual(data)
    const bytes = openChunkSource({ kind: 'local', path: Buffer.from(writer.path) })
    expect(source.readChunk(first)).toEqual(bytes.readChunk(first))
  })

  it('a missing one, or a missing folder, is not available', () => {
    writer.addChunk(data)
    const other = digestOf(Buffer.from('other'))
    for (let i = 0; i < 2; i++) {
      expect(errorOf(other)).toBeInstanceOf(ChunkUnavailableError)
      mkdirSync(dirname(writer.chunkPath(other)), { recursive: true })
    }
    expect(errorOf(other)).toMatchObject({ fields: { digest: other.toString('hex'), source: writer.path } })
    expect(errorOf(Buffer.alloc(32)).message).toContain('index is damaged')
    writer.addChunk(Buffer.from('other'))
    expect(source.readChunk(other)).toBeDefined()
  })

  it('says when the server set a damaged one aside', () => {
    const digest = writer.addChunk(data)
    renameSync(writer.chunkPath(digest), `${writer.chunkPath(digest)}.3.bad`)
    expect(errorOf(digest)).toBeInstanceOf(ChunkUnavailableError)
    expect(errorOf(digest).message).toContain('.3.bad')
  })

  it('refuses impossible lengths', () => {
    const digest = writer.addChunk(data)
    const path = writer.chunkPath(digest)
    for (const size of [0, 1, 11]) {
      truncateSync(path, size)
      expect(errorOf(digest)).toBeInstanceOf(IntegrityError)
      expect(errorOf(digest).fields).toMatchObject({ actual: `${size} bytes`, path })
    }
    truncateSync(path, 16 * 1024 * 1024 + 45)
    expect(errorOf(digest)).toBeInstanceOf(IntegrityError)
    truncateSync(path, 16 * 1024 * 1024 + 44)
    expect(source.readChunk(digest) as Uint8Array).toHaveLength(16 * 1024 * 1024 + 44)
  })

  it('follows no link, waits for no fifo, and leaves nothing open', () => {
    const outside = new DatastoreWriter(join(dir, 'outside'))
    const digest = outside.addChunk(data)
    const path = writer.chunkPath(digest)
    mkdirSync(dirname(path))
    const before = openFiles()
    symlinkSync(outside.chunkPath(digest), path)
    expect(errorOf(digest).fields).toMatchObject({ code: 'ELOOP' })
    rmSync(path)
    execFileSync('mkfifo', [path])
    expect(errorOf(digest).fields).toMatchObject({ code: 'ENXIO' })
    rmSync(path)
    mkdirSync(path)
    expect(errorOf(digest).fields).toMatchObject({ code: 'ENXIO' })
    rmSync(dirname(path), { recursive: true })
    symlinkSync(dirname(outside.chunkPath(digest)), dirname(path))
    const fresh = openChunkSource({ kind: 'local', path: writer.path })
    expect(errorOf(digest, fresh).fields).toMatchObject({ code: 'ELOOP' })
    rmSync(join(writer.path, '.chunks'), { recursive: true })
    symlinkSync(join(outside.path, '.chunks'), join(writer.path, '.chunks'))
    expect(errorOf(digest, openChunkSource({ kind: 'local', path: writer.path })).fields).toMatchObject({ code: 'ELOOP' })
    expect(openFiles()).toBe(before)
  })

  it('a store that is gone is no missing chunk', () => {
    const digest = writer.addChunk(data)
    rmSync(join(writer.path, '.chunks'), { recursive: true })
    expect(errorOf(digest)).toBeInstanceOf(SourceError)
    expect(errorOf(digest).fields).toMatchObject({ retryable: true })
  })

  it('leaves the access time alone', () => {
    const digest = writer.addChunk(data)
    const path = writer.chunkPath(digest)
    utimesSync(path, 1e9, 1.1e9)
    void source.readChunk(digest)
    expect(statSync(path).atimeMs).toBe(1e12)
  })

  it.skipIf(process.getuid?.() !== 0)('works for other users, and tells them about the group backup (needs root to become one)', () => {
    const digest = writer.addChunk(data)
    // A file of another owner: O_NOATIME is refused with EPERM.
    const script = `
      import { openChunkSource } from ${JSON.stringify(new URL('../../dist/source/open-chunk-source.js', import.meta.url).href)}
      process.setgroups([]); process.setgid(12345); process.setuid(12345)
      const source = openChunkSource({ kind: 'local', path: ${JSON.stringify(writer.path)} })
      try { console.log(source.readChunk(Buffer.from('${digest.toString('hex')}', 'hex')).length) } catch (e) { console.log(e.name, e.fields.code, e.message) }`
    const run = (): string => execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }).trim()
    execFileSync('chmod', ['755', dir])
    expect(run()).toBe(String(encodeBlob(data).length))
    execFileSync('chmod', ['750', join(writer.path, '.chunks')])
    expect(run()).toMatch(/^SourceError EACCES .*group "backup"/)
  })
})

describe('the cache folder of an S3 store', () => {
  function evictSome(): Buffer[] {
    const digests = Array.from({ length: 12 }, (_, i) => writer.addChunk(Buffer.from(`chunk ${i}`)))
    for (const digest of digests.slice(0, 6)) truncateSync(writer.chunkPath(digest), 0)
    return digests
  }

  it('is recognised by its markers, or by many empty chunks', async () => {
    const digest = writer.addChunk(data)
    truncateSync(writer.chunkPath(digest), 0)
    expect(looksLikeS3Cache(writer.path)).toBe(false)
    writeFileSync(`${writer.chunkPath(digest)}.using`, '')
    expect(looksLikeS3Cache(writer.path)).toBe(true)
    rmSync(`${writer.chunkPath(digest)}.using`)
    evictSome()
    expect(looksLikeS3Cache(writer.path)).toBe(true)
    const info = await openLocalDatastore(writer.path).describe()
    expect(info).toMatchObject({ s3Cache: true })
    expect(info.remarks[0]).toContain('S3')
  })

  it('calls absent chunks evicted, not damaged', () => {
    const digests = evictSome()
    for (const digest of [digests[0]!, digestOf(Buffer.from('never cached'))]) {
      expect(errorOf(digest)).toBeInstanceOf(ChunkUnavailableError)
      expect(errorOf(digest)).toMatchObject({ fields: { evicted: true } })
    }
    expect(source.readChunk(digests[8]!)).toBeDefined()
    const told = openChunkSource({ kind: 'local', path: writer.path, s3Cache: false })
    expect(errorOf(digests[0]!, told)).toBeInstanceOf(IntegrityError)
  })
})

import { cpSync, closeSync, openSync, readdirSync, readFileSync, readSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { noise } from '../support/chunk-rig.js'
import { DatastoreWriter, digestOf } from '../support/datastore-writer.js'
import { MountRig, waitUntil } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { dir, encodeArchive, file } from '../support/pxar-encoder.js'

const TIME = '2026-01-01T00:00:00Z'
const CHUNK = 65_536
const CHUNKS = 32

let rig: MountRig
let store: DatastoreWriter
let mounted: string
let payloadPieces: Buffer[]
const image = noise(CHUNKS * CHUNK, 7)
const inner = noise(8 * CHUNK + 100, 9)
const beside = noise(5000, 11)

const chunkOf = (plain: Uint8Array) => store.chunkPath(digestOf(plain))
const nthOfImage = (n: number) => image.subarray(n * CHUNK, (n + 1) * CHUNK)
const drive = () => join(mounted, 'host/web', TIME, 'drive.img')
const innerPath = () => join(mounted, 'host/web', TIME, 'root.pxar/some/deep folder/inner')
const errors = () => readFileSync(join(mounted, '.pbsfs/errors'), 'utf8')

beforeEach(() => {
  rig = new MountRig()
  store = new DatastoreWriter(rig.at('store'))
  const tree = dir('', [dir('some', [dir('deep folder', [file('beside', beside), file('inner', inner)])])])
  const { meta, payload } = encodeArchive(tree, { split: true })
  payloadPieces = []
  for (let at = 0; at < payload!.length; at += CHUNK) payloadPieces.push(payload!.subarray(at, at + CHUNK))
  const snapshot = store.snapshot({ type: 'host', id: 'web' }, TIME)
  snapshot.addStream('root.mpxar.didx', [meta])
  snapshot.addStream('root.ppxar.didx', payloadPieces)
  snapshot.addImage('drive.img.fidx', image, CHUNK)
  snapshot.finish()
})
afterEach(() => rig.cleanUp())

async function mount(...args: string[]): Promise<void> {
  mounted = (await rig.mount(store.path, { args })).path
}

/** Bytes that read(2) gives from `offset` on, call after call, until it fails or the file ends. */
function readOn(path: string, offset: number, size: number): { bytes: Buffer; error: string | undefined } {
  const fd = openSync(path, 'r')
  const parts: Buffer[] = []
  try {
    for (let at = offset; ; ) {
      const buffer = Buffer.alloc(size)
      const got = readSync(fd, buffer, 0, size, at)
      if (got === 0) return { bytes: Buffer.concat(parts), error: undefined }
      parts.push(buffer.subarray(0, got))
      at += got
    }
  } catch (error) {
    return { bytes: Buffer.concat(parts), error: (error as NodeJS.ErrnoException).code }
  } finally {
    closeSync(fd)
  }
}

describeWith({ fuse: true }, 'chunks that are lost', () => {
  it.each([4096, 1 << 20])('a reader with a buffer of %d bytes gets every byte before and behind a bad chunk', async (size) => {
    rmSync(chunkOf(nthOfImage(9)))
    await mount()
    const before = readOn(drive(), 0, size)
    expect(before.error).toBe('EIO')
    expect(before.bytes.length).toBe(9 * CHUNK)
    expect(before.bytes.equals(image.subarray(0, 9 * CHUNK))).toBe(true)
    const behind = readOn(drive(), 10 * CHUNK, size)
    expect(behind.error).toBeUndefined()
    expect(behind.bytes.equals(image.subarray(10 * CHUNK))).toBe(true)
    expect(statSync(drive()).size).toBe(image.length)
  })

  it('`errors`, `status` and the log name archive, path, place, digest and cause', async () => {
    const log = rig.at('log')
    const digest = digestOf(payloadPieces[4]!).toString('hex')
    rmSync(store.chunkPath(digestOf(payloadPieces[4]!)))
    await mount('--log', log)
    expect(() => readFileSync(innerPath())).toThrow(/EIO/)
    const status = JSON.parse(readFileSync(join(mounted, '.pbsfs/status'), 'utf8')) as { errors: { recent: { fields: object }[] } }
    const text = errors()
    for (const said of [text, JSON.stringify(status.errors.recent), readFileSync(log, 'utf8')]) {
      expect(said).toContain('/some/deep folder/inner')
      expect(said).toContain(`host/web/${TIME}/root.pxar`)
      expect(said).toContain(digest)
      expect(said).toContain('is missing')
      expect(said).toMatch(/fileOffset\W+\d/)
      expect(said).toMatch(/length\W+\d/)
    }
  })

  it('a payload header that is lost costs nothing of the content in other chunks', async () => {
    const head = payloadPieces[0]!
    rmSync(chunkOf(head))
    await mount()
    const contentAt = payloadPieces.findIndex((piece) => piece.includes(inner.subarray(CHUNK * 2, CHUNK * 2 + 64)))
    expect(contentAt).toBeGreaterThan(0)
    const { bytes, error } = readOn(innerPath(), 2 * CHUNK, 1 << 20)
    expect(error).toBeUndefined()
    expect(bytes.equals(inner.subarray(2 * CHUNK))).toBe(true)
    expect(() => readFileSync(innerPath())).toThrow(/EIO/)
  })

  it('--damaged zero reads lost bytes as zeros, those only, and names them', async () => {
    rmSync(chunkOf(nthOfImage(3)))
    writeFileSync(chunkOf(payloadPieces[2]!), 'no chunk at all')
    await mount('-o', 'damaged=zero')
    const expected = Buffer.from(image)
    expected.fill(0, 3 * CHUNK, 4 * CHUNK)
    expect(readFileSync(drive()).equals(expected)).toBe(true)
    const shown = readFileSync(innerPath())
    expect(shown.length).toBe(inner.length)
    const from = inner.indexOf(payloadPieces[2]!)
    const zeroed = Buffer.from(inner)
    zeroed.fill(0, from, from + CHUNK)
    expect(from).toBeGreaterThan(0)
    expect(shown.equals(zeroed)).toBe(true)
    const text = errors()
    expect(text).toContain('zeroed=true')
    expect(text).toMatch(new RegExp(`length=${CHUNK}.*fileOffset=${3 * CHUNK}`))
    expect(text).toContain(`fileOffset=${from}`)
    expect(text).toContain('/some/deep folder/inner')
    expect(readFileSync(join(mounted, '.pbsfs/status'), 'utf8')).toContain('damaged')
  })

  it('--damaged zero does not invent names where a directory is lost', async () => {
    const index = readFileSync(join(store.path, 'host/web', TIME, 'root.mpxar.didx'))
    rmSync(store.chunkPath(index.subarray(4096 + 8, 4096 + 40)))
    await mount('--damaged', 'zero')
    expect(() => readdirSync(join(mounted, 'host/web', TIME, 'root.pxar'))).toThrow()
  })

  it('--fallback gives missing and bad chunks, and says so', async () => {
    cpSync(store.path, rig.at('copy'), { recursive: true })
    rmSync(join(rig.at('copy'), 'host'), { recursive: true })
    rmSync(chunkOf(nthOfImage(3)))
    writeFileSync(chunkOf(nthOfImage(5)), 'no chunk at all')
    writeFileSync(chunkOf(payloadPieces[2]!), readFileSync(chunkOf(payloadPieces[3]!)))
    await mount('--fallback', rig.at('copy'))
    expect(readFileSync(drive()).equals(image)).toBe(true)
    expect(readFileSync(innerPath()).equals(inner)).toBe(true)
    const text = errors()
    for (const plain of [nthOfImage(3), nthOfImage(5), payloadPieces[2]!]) expect(text).toContain(digestOf(plain).toString('hex'))
    expect(text).toContain(`fallback=${rig.at('copy')}`)
    expect(readFileSync(join(mounted, '.pbsfs/status'), 'utf8')).toContain('3 chunks taken from it')
  })

  it('a chunk that no fallback has is an error that names both places', async () => {
    new DatastoreWriter(rig.at('empty'))
    rmSync(chunkOf(nthOfImage(3)))
    await mount('--fallback', rig.at('empty'))
    expect(() => readFileSync(drive())).toThrow(/EIO/)
    expect(errors()).toContain(`missing in ${store.path}`)
    expect(errors()).toContain(`missing in ${rig.at('empty')}`)
  })

  it('a fallback that is no datastore, or a part of one, is refused before anything is mounted', async () => {
    await expect(rig.mount(store.path, { args: ['--fallback', rig.at('nothing')] })).rejects.toThrow(/nothing.*no such file/)
    await expect(rig.mount(store.path, { args: ['--fallback', join(store.path, 'host/web')] })).rejects.toThrow(/whole datastore/)
    await expect(rig.mount(store.path, { args: ['--damaged', 'maybe'] })).rejects.toThrow(/none of error, zero/)
  })

  it('a chunk that comes back is read by the mount that missed it', async () => {
    const chunk = chunkOf(nthOfImage(3))
    renameSync(chunk, rig.at('kept'))
    await mount()
    expect(() => readFileSync(drive())).toThrow(/EIO/)
    renameSync(rig.at('kept'), chunk)
    await waitUntil(() => readOn(drive(), 3 * CHUNK, CHUNK).error === undefined, 5000, 'the chunk that is back')
    expect(readFileSync(drive()).equals(image)).toBe(true)
  })
})

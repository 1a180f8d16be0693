import { randomFillSync } from 'node:crypto'
import { copyFileSync, openSync, closeSync, readdirSync, readFileSync, readSync, renameSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { DatastoreWriter, digestOf, indexCsum } from '../support/datastore-writer.js'
import { MountRig, waitUntil } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { dir, encodeArchive, file, hardlink } from '../support/pxar-encoder.js'
import { runProgram } from '../support/run-program.js'

const TIME = '2026-01-01T00:00:00Z'
const SIZE = 40_000
const IMAGE_CHUNK = 65_536
const PAYLOAD_HEAD = 16
/** Header of an item: it tells where the entry before it ends. */
const ITEM_HEADER = 16

let rig: MountRig
let store: DatastoreWriter
let mounted: string
let digests: Record<'one' | 'two' | 'three' | 'entry' | 'folder' | 'second' | 'image', string>
const contents = ['one', 'two', 'three', 'inner'].map((name, i) => ({ name, bytes: randomFillSync(Buffer.alloc(SIZE + i)) }))
const image = randomFillSync(Buffer.alloc(4 * IMAGE_CHUNK))

const content = (name: string) => contents.find((candidate) => candidate.name === name)!.bytes

/** A store in which each file and each folder has chunks of its own. */
beforeEach(async () => {
  rig = new MountRig()
  store = new DatastoreWriter(rig.at('store'))
  const [one, two, three, inner] = contents.map(({ name, bytes }) => file(name, bytes))
  const folder = dir('folder', [inner!, file('empty')])
  const { meta, payload, places } = encodeArchive(dir('', [one!, two!, three!, folder, dir('other', [hardlink('link', one!, 'one')])]), { split: true })
  const cutPayload: Buffer[] = []
  let at = PAYLOAD_HEAD
  for (const { bytes } of contents) {
    cutPayload.push(payload!.subarray(cutPayload.length === 0 ? 0 : at, at + PAYLOAD_HEAD + bytes.length))
    at += PAYLOAD_HEAD + bytes.length
  }
  cutPayload.push(payload!.subarray(at))
  const cuts = [0, places.get(three!)! + ITEM_HEADER, places.get(folder)!, places.get(inner!)! + ITEM_HEADER, places.get(inner!)! + 64]
  const cutMeta = cuts.map((start, i) => meta.subarray(start, cuts[i + 1]))
  const snapshot = store.snapshot({ type: 'host', id: 'web' }, TIME)
  snapshot.addStream('root.mpxar.didx', cutMeta)
  snapshot.addStream('root.ppxar.didx', cutPayload)
  snapshot.addImage('drive.img.fidx', image, IMAGE_CHUNK)
  snapshot.addBlob('some.conf.blob', Buffer.from('name: value\n'))
  snapshot.finish()
  const hex = (bytes: Uint8Array) => digestOf(bytes).toString('hex')
  digests = {
    one: hex(cutPayload[0]!),
    two: hex(cutPayload[1]!),
    three: hex(cutPayload[2]!),
    entry: hex(cutMeta[1]!),
    folder: hex(cutMeta[3]!),
    second: hex(image.subarray(IMAGE_CHUNK, 2 * IMAGE_CHUNK)),
    image: 'drive.img.fidx',
  }
})
afterEach(() => rig.cleanUp())

const chunk = (digest: string) => join(store.path, '.chunks', digest.slice(0, 4), digest)
const snapshotFile = (name: string) => join(store.path, 'host/web', TIME, name)
const inArchive = (...names: string[]) => join(mounted, 'host/web', TIME, 'root.pxar', ...names)
const driveImage = () => join(mounted, 'host/web', TIME, 'drive.img')
const errors = () => readFileSync(join(mounted, '.pbsfs/errors'), 'utf8')

async function mount(): Promise<void> {
  mounted = (await rig.mount(store.path)).path
}

function flipByte(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at < 0 ? bytes.length + at : at]! ^= 0x10
  writeFileSync(path, bytes)
}

function readAt(path: string, offset: number, length: number): Buffer {
  const fd = openSync(path, 'r')
  try {
    const buffer = Buffer.alloc(length)
    return buffer.subarray(0, readSync(fd, buffer, 0, length, offset))
  } finally {
    closeSync(fd)
  }
}

function expectContent(...names: string[]): void {
  for (const name of names) expect([name, readFileSync(inArchive(name)).equals(content(name.replace(/^.*\//, '')))]).toEqual([name, true])
}

describeWith({ fuse: true }, 'damage costs what is damaged, and nothing else', () => {
  it('without damage everything is there and `errors` is empty', async () => {
    await mount()
    expectContent('one', 'two', 'three', 'folder/inner')
    expect(readFileSync(driveImage()).equals(image)).toBe(true)
    expect(errors()).toBe('')
  })

  it('a missing chunk: EIO for the file in it, named in `errors` and `status`; readable again when it is back', async () => {
    renameSync(chunk(digests.two), rig.at('kept'))
    await mount()
    expect(statSync(inArchive('two')).size).toBe(content('two').length)
    expect(() => readFileSync(inArchive('two'))).toThrow(/EIO/)
    expectContent('one', 'three', 'folder/inner')
    expect(errors()).toContain(digests.two)
    const status = JSON.parse(readFileSync(join(mounted, '.pbsfs/status'), 'utf8')) as { errors: { count: number; recent: unknown[] } }
    expect(status.errors.count).toBeGreaterThan(0)
    expect(JSON.stringify(status.errors.recent)).toContain(digests.two)
    expect(readdirSync(mounted)).toEqual(['host'])
    copyFileSync(rig.at('kept'), chunk(digests.two))
    await waitUntil(() => readable(inArchive('two')), 5_000, 'the chunk that is back')
    expectContent('two')
  })

  it('a missing chunk in the middle of an image costs its bytes only', async () => {
    renameSync(chunk(digests.second), rig.at('kept'))
    await mount()
    expect(statSync(driveImage()).size).toBe(image.length)
    expect(readAt(driveImage(), 0, IMAGE_CHUNK).equals(image.subarray(0, IMAGE_CHUNK))).toBe(true)
    expect(() => readAt(driveImage(), IMAGE_CHUNK, 4096)).toThrow(/EIO/)
    expect(() => readAt(driveImage(), 2 * IMAGE_CHUNK - 1, 1)).toThrow(/EIO/)
    expect(readAt(driveImage(), 2 * IMAGE_CHUNK, 2 * IMAGE_CHUNK).equals(image.subarray(2 * IMAGE_CHUNK))).toBe(true)
    expect(errors()).toContain(digests.second)
  })

  const flips: [what: string, at: number][] = [
    ['its magic', 0],
    ['its checksum', 8],
    ['its first byte', 12],
    ['its last byte', -1],
  ]
  it.each(flips)('a chunk with one bit flipped in %s is never shown', async (_what, at) => {
    flipByte(chunk(digests.three), at)
    await mount()
    expect(() => readFileSync(inArchive('three'))).toThrow(/EIO/)
    expectContent('one', 'two', 'folder/inner')
    expect(errors()).toContain(digests.three)
    flipByte(chunk(digests.three), at)
    await waitUntil(() => readable(inArchive('three')), 5_000, 'the chunk that is whole again')
    expectContent('three')
  })

  it('a valid chunk of other content under the name is never shown', async () => {
    copyFileSync(chunk(digests.one), chunk(digests.two))
    await mount()
    expect(() => readFileSync(inArchive('two'))).toThrow(/EIO/)
    expectContent('one', 'three')
    expect(errors()).toContain(digests.two)
  })

  it('a chunk of no bytes is never shown', async () => {
    truncateSync(chunk(digests.two), 0)
    await mount()
    expect(() => readFileSync(inArchive('two'))).toThrow(/EIO/)
    expectContent('one', 'three')
  })

  it('an entry that is lost is missing in a listing that ends with an error; it is not "no such file"', async () => {
    flipByte(chunk(digests.entry), -1)
    await mount()
    const { code, out } = await runProgram('ls', [inArchive()])
    expect([code, out.trim().split('\n')]).toEqual([2, ['folder', 'one', 'other', 'two']])
    expect(() => statSync(inArchive('three'))).toThrow(/EIO/)
    expectContent('one', 'two', 'folder/inner')
    expect(errors()).toContain(digests.entry)
    flipByte(chunk(digests.entry), -1)
    await waitUntil(() => readable(inArchive('three')), 5_000, 'the chunk that is whole again')
    expect(readdirSync(inArchive()).sort()).toEqual(['folder', 'one', 'other', 'three', 'two'])
  })

  it('a damaged piece of the metadata costs the folder in it', async () => {
    flipByte(chunk(digests.folder), -1)
    await mount()
    expect(() => readFileSync(inArchive('folder/inner'))).toThrow(/EIO/)
    expectContent('one', 'two', 'three')
    expect(readdirSync(inArchive()).sort()).toEqual(['folder', 'one', 'other', 'three', 'two'])
    expect(readdirSync(inArchive('other'))).toEqual(['link'])
    expect(statSync(inArchive('other/link')).ino).toBe(statSync(inArchive('one')).ino)
    expect(errors()).toContain(digests.folder)
  })

  it('a truncated index costs its archive', async () => {
    truncateSync(snapshotFile('root.mpxar.didx'), 4096 + 50)
    await mount()
    expect(() => readdirSync(inArchive())).toThrow(/EIO/)
    expect(readFileSync(driveImage()).equals(image)).toBe(true)
    expect(readFileSync(join(mounted, 'host/web', TIME, 'some.conf'), 'utf8')).toBe('name: value\n')
    expect(readdirSync(join(mounted, 'host/web/latest'))).toEqual(expect.arrayContaining(['root.pxar', 'drive.img', 'some.conf']))
    expect(errors()).toContain('root.mpxar.didx')
  })

  it.each(['drive.img.fidx', 'root.ppxar.didx'])('an index that is gone (%s) costs what it lists', async (name) => {
    renameSync(snapshotFile(name), rig.at('kept'))
    await mount()
    const isImage = name.startsWith('drive')
    expect(() => readFileSync(isImage ? driveImage() : inArchive('one'))).toThrow(/EIO/)
    if (isImage) expectContent('one', 'two')
    else expect(readFileSync(driveImage()).equals(image)).toBe(true)
    expect(errors()).toContain(name)
  })

  it('an index that is not the one of the manifest is named', async () => {
    const bytes = readFileSync(snapshotFile('drive.img.fidx'))
    // The first chunk is listed twice: a well-formed index, of something else.
    bytes.copy(bytes, 4096 + 32, 4096, 4096 + 32)
    Buffer.from(indexCsum(bytes), 'hex').copy(bytes, 32)
    writeFileSync(snapshotFile('drive.img.fidx'), bytes)
    await mount()
    const shown = readable(driveImage())
    expect(errors()).toContain('drive.img.fidx')
    expect(shown).toBe(false)
  })

  it('a blob that is damaged costs itself', async () => {
    flipByte(snapshotFile('some.conf.blob'), -1)
    await mount()
    expect(() => readFileSync(join(mounted, 'host/web', TIME, 'some.conf'))).toThrow(/EIO/)
    expectContent('one')
    expect(errors()).toContain('some.conf')
  })

  it('a damaged manifest costs its snapshot', async () => {
    const other = store.snapshot({ type: 'host', id: 'web' }, '2026-01-02T00:00:00Z')
    other.addBlob('some.conf.blob', Buffer.from('name: other\n'))
    other.finish()
    flipByte(snapshotFile('index.json.blob'), -1)
    await mount()
    expect(readdirSync(join(mounted, 'host/web')).sort()).toEqual([TIME, '2026-01-02T00:00:00Z', 'latest'])
    expect(() => readdirSync(join(mounted, 'host/web', TIME))).toThrow(/EIO/)
    expect(readFileSync(join(mounted, 'host/web/latest/some.conf'), 'utf8')).toBe('name: other\n')
    expect(errors()).toContain('index.json')
  })

  it('a store without its chunks is not taken for one', async () => {
    renameSync(join(store.path, '.chunks'), rig.at('chunks'))
    const { code, err } = await rig.pbsfs(['mount', store.path, rig.at('mnt')])
    expect([code, err]).toEqual([4, expect.stringContaining('.chunks')])
  })
})

function readable(path: string): boolean {
  try {
    readFileSync(path)
    return true
  } catch {
    return false
  }
}

import { createHash, randomBytes } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { main } from '#src/cli/main.js'
import { captureOutput } from '../support/captured-output.js'
import { DatastoreWriter, encodeFixedIndex, indexCsum, type TestKey } from '../support/datastore-writer.js'
import { encodeKeyFile, makeTestKey, signManifest } from '../support/key-writer.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const folder = temporaryFolder()
const store = new DatastoreWriter(join(folder, 'store'))
const VM = { type: 'vm', id: '100' } as const
const K = 1024
const CHUNK = 64 * K

interface ImageDiff {
  sizeBefore: number
  sizeAfter: number
  granularity: number
  changedBytes: number
  tail: { kind: string; offset: number; length: number } | null
  ranges: { offset: number; length: number }[]
}

async function run(...args: string[]) {
  const output = captureOutput()
  return { code: await main(['diff', ...args, '--decoders', '1'], output), ...output.texts }
}

async function json(...args: string[]): Promise<ImageDiff> {
  const { out, err } = await run(...args, '--json')
  if (out === '') throw new Error(err)
  return JSON.parse(out) as ImageDiff
}

const at = (time: string, archive = 'drive-scsi0.img') => `${store.path}::vm/100/${time}/${archive}`
const DAYS = Array.from({ length: 9 }, (_, i) => `2026-01-0${i + 1}T00:00:00Z`) as [string, string, string, string, string, string, string, string, string]


const disk = randomBytes(6 * CHUNK)
disk.fill(0, 4 * CHUNK, 5 * CHUNK)
const changed = Buffer.from(disk)
changed[CHUNK + 9 * K]! ^= 1
changed[2 * CHUNK - 1]! ^= 1
changed[2 * CHUNK]! ^= 1
const grown = Buffer.concat([changed, Buffer.alloc(CHUNK + 100, 5)])
const keys = [makeTestKey(1), makeTestKey(2)] as [TestKey, TestKey]
const keyFiles = keys.map((key, i) => {
  const path = join(folder, `key-${i}`)
  writeFileSync(path, encodeKeyFile(key), { mode: 0o600 })
  return path
}) as [string, string]

function writeSnapshot(time: string, image: Uint8Array, { chunkSize = CHUNK, key, name = 'drive-scsi0' }: { chunkSize?: number; key?: TestKey; name?: string } = {}): void {
  const snapshot = store.snapshot(VM, time)
  snapshot.addImage(`${name}.img.fidx`, image, chunkSize, key === undefined ? 'zstd' : 'encrypted-zstd', key === undefined ? {} : { key })
  snapshot.finish(key === undefined ? {} : { signature: signManifest(snapshot.manifestJson(), key) })
}

beforeAll(() => {
  writeSnapshot(DAYS[0], disk)
  writeSnapshot(DAYS[1], changed)
  writeSnapshot(DAYS[2], grown)
  writeSnapshot(DAYS[3], changed, { key: keys[0] })
  writeSnapshot(DAYS[4], disk, { key: keys[1] })
  writeSnapshot(DAYS[5], changed, { chunkSize: 2 * CHUNK })
  writeSnapshot(DAYS[6], changed, { name: 'drive-virtio0' })
  writeSnapshot(DAYS[7], disk, { key: keys[0] })
})

const COARSE = [{ offset: CHUNK, length: 2 * CHUNK }]
const FINE = [
  { offset: CHUNK + 8 * K, length: 4 * K },
  { offset: 2 * CHUNK - 4 * K, length: 8 * K },
]

describe('pbsfs diff of images', () => {
  it('tells whole chunks from the indices, and 4 KiB blocks with --fine', async () => {
    expect(await json(at(DAYS[0]), at(DAYS[1]))).toEqual({
      version: 1, sizeBefore: disk.length, sizeAfter: disk.length, granularity: CHUNK, tail: null, changedBytes: 2 * CHUNK, ranges: COARSE, problems: [],
    }) // prettier-ignore
    expect(await json(at(DAYS[0]), at(DAYS[1]), '--fine')).toMatchObject({ granularity: 4096, changedBytes: 12 * K, ranges: FINE })
    expect(await run(at(DAYS[0]), at(DAYS[1]), '--fine', '--exit-code')).toMatchObject({
      code: 1,
      out: FINE.map(({ offset, length }) => `${offset} ${length}\n`).join(''),
      err: expect.stringContaining('12.0 KiB of 384 KiB differ, in 2 ranges') as string,
    })
    expect(await run(at(DAYS[0]), at(DAYS[0]), '--fine', '--exit-code')).toMatchObject({ code: 0, out: '' })
  })

  it('a disk that grew or shrank: its tail is added or removed, and said to be', async () => {
    const tail = { offset: disk.length, length: CHUNK + 100 }
    const up = await json(at(DAYS[0]), at(DAYS[2]))
    expect(up).toMatchObject({ sizeBefore: disk.length, sizeAfter: grown.length, tail: { kind: 'added', ...tail }, ranges: [...COARSE, tail] })
    const down = await json(at(DAYS[2]), at(DAYS[0]), '--fine')
    expect(down).toMatchObject({ tail: { kind: 'removed', ...tail }, ranges: [...FINE, tail] })
    expect((await run(at(DAYS[0]), at(DAYS[2]))).err).toContain(`the disk grew from ${disk.length} to ${grown.length} bytes; the 64.1 KiB behind the old end count as added`)
    expect((await run(at(DAYS[2]), at(DAYS[0]))).err).toContain('shrank')
  })

  it('a renamed disk, when both are named', async () => {
    expect(await json(at(DAYS[0]), at(DAYS[6], 'drive-virtio0.img'))).toMatchObject({ ranges: COARSE })
    expect(await json(at(DAYS[0], 'drive-scsi0.img.fidx'), at(DAYS[6], 'drive-virtio0.img.fidx'), '--fine')).toMatchObject({ ranges: FINE })
    const { code, out, err } = await run(at(DAYS[0]), at(DAYS[6]))
    expect([code, out]).toEqual([4, ''])
    expect(err).toContain('there is no such archive')
  })

  it('the same key: from the indices. Two keys, or a key and none: refused with the reason, and told with --fine', async () => {
    const both = keyFiles.flatMap((path) => ['--keyfile', path])
    expect(await json(at(DAYS[7]), at(DAYS[3]), ...both)).toMatchObject({ granularity: CHUNK, ranges: COARSE })
    for (const [a, b] of [[at(DAYS[4]), at(DAYS[3])], [at(DAYS[0]), at(DAYS[3])]] as const) {
      const { code, out, err } = await run(a, b, ...both)
      expect([code, out]).toEqual([1, ''])
      expect(err).toMatch(/digests say nothing of each other/)
      expect(err).toContain('Compare their contents with --fine.')
      expect(await json(a, b, '--fine', ...both)).toMatchObject({ granularity: 4096, ranges: FINE })
    }
    const one = await run(at(DAYS[4]), at(DAYS[3]), '--fine', '--keyfile', keyFiles[0])
    expect([one.code, one.out]).toEqual([3, ''])
    expect(one.err).toContain('made with none of the given keys')
  })

  it('another chunk size: refused with the reason, and told with --fine', async () => {
    const { code, out, err } = await run(at(DAYS[0]), at(DAYS[5]))
    expect([code, out]).toEqual([1, ''])
    expect(err).toMatch(/65536 bytes.*131072/)
    expect(await json(at(DAYS[0]), at(DAYS[5]), '--fine')).toMatchObject({ ranges: FINE })
  })

  it('with --fine a chunk that is lost counts as changed, is named, and ends with exit code 3', async () => {
    const copy = new DatastoreWriter(join(folder, 'damaged'))
    for (const [time, image] of [[DAYS[0], disk], [DAYS[1], changed]] as const) {
      const snapshot = copy.snapshot(VM, time)
      snapshot.addImage('drive-scsi0.img.fidx', image)
      snapshot.finish()
    }
    const digest = createHash('sha256').update(disk.subarray(2 * CHUNK, 3 * CHUNK)).digest()
    rmSync(copy.chunkPath(digest))
    const [a, b] = [DAYS[0], DAYS[1]].map((time) => `${copy.path}::vm/100/${time}/drive-scsi0.img`) as [string, string]
    const { code, out, err } = await run(a, b, '--fine', '--json')
    expect(code).toBe(3)
    expect(err).toContain(digest.toString('hex'))
    expect((JSON.parse(out) as ImageDiff).ranges).toEqual([FINE[0], { offset: 2 * CHUNK - 4 * K, length: CHUNK + 4 * K }])
    expect((await run(a, b)).code).toBe(0)
  })

  it('a disk of 1 TiB, its index in memory and read page by page', async () => {
    const large = new DatastoreWriter(join(folder, 'large'))
    const count = 262_144
    const step = 4 * 1024 * K
    const digests = Buffer.alloc(count * 32)
    for (let i = 0; i < count; i++) digests.writeUInt32LE(i + 1, i * 32)
    const other = Buffer.from(digests)
    const places = [0, 2047, 2048, 100_000, count - 1]
    for (const i of places) other[i * 32 + 31] = 1
    for (const [time, packed] of [[DAYS[0], digests], [DAYS[1], other]] as const) {
      const index = encodeFixedIndex(count * step, [packed])
      const snapshot = large.snapshot(VM, time)
      snapshot.addFile('drive-scsi0.img.fidx', index, count * step, indexCsum(index))
      snapshot.finish()
    }
    const [a, b] = [DAYS[0], DAYS[1]].map((time) => `${large.path}::vm/100/${time}/drive-scsi0.img`) as [string, string]
    expect((await json(a, b)).ranges).toEqual([
      { offset: 0, length: step },
      { offset: 2047 * step, length: 2 * step },
      { offset: 100_000 * step, length: step },
      { offset: (count - 1) * step, length: step },
    ])
  })

  it('--fine is for images alone', async () => {
    const snapshot = store.snapshot({ type: 'vm', id: '200' }, DAYS[0])
    snapshot.addBlob('qemu-server.conf.blob', Buffer.from('cores: 1\n'))
    snapshot.finish()
    const conf = `${store.path}::vm/200/latest/qemu-server.conf`
    expect(await run(conf, conf, '--fine')).toMatchObject({ code: 2, out: '' })
    expect(await run(conf, conf)).toMatchObject({ code: 0, out: '' })
  })
})

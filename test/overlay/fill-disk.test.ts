import { expect, test } from 'vitest'
import { AbortedError } from '#src/errors/errors.js'
import { BlockMap } from '#src/overlay/block-map.js'
import { CowDisk } from '#src/overlay/cow-disk.js'
import { fillDisk } from '#src/overlay/fill-disk.js'
import { noise } from '../support/chunk-rig.js'
import { MemoryStream } from '../support/memory-stream.js'
import { PowerFile } from '../support/power-file.js'

const BLOCK = 65_536
const SIZE = 200 * BLOCK + 77
const backup = noise(SIZE, 1)

async function create(): Promise<{ disk: CowDisk; data: PowerFile; map: PowerFile; stream: MemoryStream }> {
  const [data, map] = [new PowerFile(SIZE, () => 0, 0xee), new PowerFile(3 * 4096, () => 0)]
  const stream = new MemoryStream(backup)
  const opened = await BlockMap.create(map, { size: SIZE, blockSize: BLOCK, identity: 'i', image: 'x' }, 'boot')
  return { disk: new CowDisk(stream, data, opened), data, map, stream }
}

const signal = new AbortController().signal

test('copies all, tells how far it is, and then the file alone is the disk, also after a loss of power', async () => {
  const { disk, data } = await create()
  const told: number[] = []
  await disk.write(Buffer.from('changed'), 5 * BLOCK + 3)
  await fillDisk(disk, { signal, onProgress: (done) => told.push(done) })
  const expected = Buffer.from(backup)
  expected.write('changed', 5 * BLOCK + 3)
  expect(data.after('power').bytes.subarray(0, SIZE).equals(expected)).toBe(true)
  expect(told.at(-1)).toBe(SIZE)
  expect(told).toEqual([...told].sort((a, b) => a - b))
})

test('ended in between, and gone on: nothing is read from the backup twice', async () => {
  const { disk, stream, data } = await create()
  const abort = new AbortController()
  await expect(fillDisk(disk, { signal: abort.signal, onProgress: () => abort.abort() })).rejects.toThrow(AbortedError)
  expect(disk.map.count).toBeGreaterThan(0)
  expect(disk.map.count).toBeLessThan(disk.map.blocks)
  await fillDisk(disk, { signal })
  expect(data.bytes.subarray(0, SIZE).equals(backup)).toBe(true)
  expect(stream.reads.reduce((sum, { length }) => sum + length, 0)).toBe(SIZE)
})

test('a failure of the target ends it, and the reason is told', async () => {
  const { disk, data } = await create()
  data.failAfter = 3
  await expect(fillDisk(disk, { signal })).rejects.toThrow('the disk fails')
})

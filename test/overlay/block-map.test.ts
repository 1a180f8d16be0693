import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FormatError } from '#src/errors/errors.js'
import { BlockMap } from '#src/overlay/block-map.js'
import { BOOT_ID_AT, HEADER_SIZE } from '#src/overlay/map-header.js'
import { PowerFile } from '../support/power-file.js'

const header = { size: 100 * 4096 + 5, blockSize: 4096, identity: 'abc', image: 'store::vm/100/x/drive-scsi0.img' }
const BOOT = 'c9b1a8e0-8d6f-4a0c-9c8e-000000000001'
const file = () => new PowerFile(3 * 4096, () => 0)

test('next: the same as asking for each block', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(100), fc.nat(20))), fc.nat(100), fc.boolean(), async (ranges, from, inFile) => {
      const map = await BlockMap.create(file(), header, BOOT)
      const model = new Set<number>()
      for (const [start, count] of ranges) {
        const end = Math.min(101, start + count)
        await map.add(start, end)
        for (let i = start; i < end; i++) model.add(i)
      }
      expect(map.count).toBe(model.size)
      let expected = from
      while (expected < 101 && model.has(expected) !== inFile) expected++
      expect(map.next(from, inFile)).toBe(expected)
    }),
  )
})

test('opened again: what it belongs to, and its blocks', async () => {
  const disk = file()
  const map = await BlockMap.create(disk, header, BOOT)
  await map.add(3, 10)
  const again = await BlockMap.open(disk.after('kill'), 'map', BOOT)
  expect(again.header).toEqual(header)
  expect([again.has(2), again.has(3), again.has(9), again.has(10)]).toEqual([false, true, true, false])
})

test('after another start of the host only what was made safe counts, also when that was asked twice at once', async () => {
  const disk = file()
  const map = await BlockMap.create(disk, header, BOOT)
  await map.add(0, 5)
  const [first] = [map.checkpoint(async () => undefined)]
  await map.add(5, 6)
  await Promise.all([first, map.checkpoint(async () => undefined)])
  await map.add(50, 60)
  const next = disk.after('kill')
  const again = await BlockMap.open(next, 'map', 'another')
  expect(again.count).toBe(6)
  // Blocks of the start before do not come back.
  expect((await BlockMap.open(next.after('kill'), 'map', 'another')).count).toBe(6)
})

test('a checkpoint whose data could not be synced makes nothing safe, the next one does', async () => {
  const disk = file()
  const map = await BlockMap.create(disk, header, BOOT)
  await map.add(0, 5)
  await expect(map.checkpoint(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect((await BlockMap.open(disk.after('kill'), 'map', 'another')).count).toBe(0)
  await map.checkpoint(async () => undefined)
  expect((await BlockMap.open(disk.after('kill'), 'map', 'another')).count).toBe(5)
})

test('a bit that could not be written is written when its block is written again', async () => {
  const disk = file()
  const map = await BlockMap.create(disk, header, BOOT)
  disk.failAfter = 0
  await expect(map.add(3, 5)).rejects.toThrow('the disk fails')
  disk.failAfter = undefined
  expect((await BlockMap.open(disk.after('kill'), 'map', BOOT)).count).toBe(0)
  await map.add(3, 4)
  expect((await BlockMap.open(disk.after('kill'), 'map', BOOT)).has(3)).toBe(true)
})

test('any byte of the header that is wrong is found, but for the boot id, which only makes it careful', async () => {
  const disk = file()
  const map = await BlockMap.create(disk, header, BOOT)
  await map.add(0, 1)
  const used = 28 + disk.bytes.readUInt32LE(20)
  for (let at = 0; at < used; at++) {
    if (at >= 17 && at < 20) continue
    const next = disk.after('kill')
    next.bytes[at]! ^= 1
    await expect(BlockMap.open(next, 'map', BOOT), `byte ${at}`).rejects.toThrow(FormatError)
  }
  const careful = disk.after('kill')
  careful.bytes[BOOT_ID_AT]! ^= 1
  expect((await BlockMap.open(careful, 'map', BOOT)).count).toBe(0)
  const behind = disk.after('kill')
  behind.bytes[HEADER_SIZE + 12] = 0xff
  await expect(BlockMap.open(behind, 'map', BOOT)).rejects.toThrow(/behind the end of the disk/)
})

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { ReadAt } from '#src/bytes/read-at.js'
import { DiskSet, type DiskVolumes } from '#src/volumes/disk-set.js'
import { scanDisk } from '#src/volumes/scan-disk.js'
import { goldenDir } from '../support/golden.js'
import { GoldenStream } from '../support/golden-stream.js'

const golden = goldenDir()
const TIMES = ['2023-12-09T12:00:00Z', '2023-12-10T12:00:00Z', '2023-12-11T12:00:00Z'] as const

interface Truth {
  readonly tables: ReadonlyMap<string, { label: string; sectorsize: number; partitions: { node: string; start: number; size: number; type: string; uuid?: string; name?: string }[] }>
  readonly first: string
}

function truthOf(generation: number): Truth {
  const lines = readFileSync(join(golden!, `truth/vm-100-${generation}.jsonl`), 'utf8').trim().split('\n')
  const rows = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  const tables = rows.flatMap((row) => ('table' in row ? [[row['image'] as string, row['table']] as never] : []))
  return { tables: new Map(tables), first: rows.find((row) => 'lvm_first_sha256' in row)!['lvm_first_sha256'] as string }
}

function disksOf(time: string, names: readonly string[]): DiskSet {
  return new DiskSet(names.map((name) => ({ name, stream: new GoldenStream(join(golden!, 'store'), `vm/100/${time}/${name}.fidx`) })))
}

async function sha256(stream: ReadAt): Promise<string> {
  const hash = createHash('sha256')
  for (let at = 0; at < stream.size; at += 1 << 20) hash.update(await stream.read(at, Math.min(1 << 20, stream.size - at)))
  return hash.digest('hex')
}

function namesOf({ volumes }: DiskVolumes): string[] {
  return volumes.map(({ name }) => name)
}

describe.skipIf(golden === undefined)('disks of the real server', () => {
  const store = join(golden ?? '', 'store')
  const snapshots = TIMES.map((time, i) => [i + 1, time] as const)

  test.each(snapshots)('generation %i: partitions are those of sfdisk', async (generation, time) => {
    for (const [image, table] of truthOf(generation).tables) {
      const scan = await scanDisk(new GoldenStream(store, `vm/100/${time}/${image}.fidx`))
      expect(scan.problems).toEqual([])
      const extended = /^(?:5|f|85)$/
      const expected = table.partitions.filter(({ type }) => !extended.test(type))
      const found = scan.parts.map(({ partition }) => partition!)
      expect(found.map(({ number }) => `${image}${number}`)).toEqual(expected.map(({ node }) => node))
      expect(found.map(({ start }) => start / table.sectorsize)).toEqual(expected.map(({ start }) => start))
      expect(found.map(({ size }) => size / table.sectorsize)).toEqual(expected.map(({ size }) => size))
      if (table.label !== 'gpt') continue
      expect(found.map(({ type }) => type)).toEqual(expected.map(({ type }) => type))
      expect(found.map(({ uuid }) => uuid)).toEqual(expected.map(({ uuid }) => uuid))
      expect(found.map(({ name }) => name)).toEqual(expected.map(({ name }) => name))
    }
  })

  test('files are named by number, label and file system', async () => {
    const disks = disksOf(TIMES[0], ['drive-scsi0.img', 'drive-scsi1.img', 'drive-scsi2.img', 'drive-virtio0.img', 'drive-efidisk0.img'])
    expect(namesOf(await disks.volumesOf('drive-scsi0.img'))).toEqual(['p1-bios.raw', 'p2-ESP.vfat', 'p3-root.ext4'])
    expect(namesOf(await disks.volumesOf('drive-scsi1.img'))).toEqual(['vg1-first.ext4', 'vg1-swap.raw'])
    expect(namesOf(await disks.volumesOf('drive-scsi2.img')).map((name) => name.replace(/-.*\./, '.'))).toEqual(['p1.ext4', 'p5.squashfs', 'p6.erofs'])
    expect(namesOf(await disks.volumesOf('drive-virtio0.img')).map((name) => name.replace(/-.*\./, '.'))).toEqual(['disk.ext4'])
    const nothing = await disks.volumesOf('drive-efidisk0.img')
    expect([nothing.volumes, nothing.problems]).toEqual([[], []])
    expect(nothing.notes[0]!.text).toContain('Nothing that pbsfs knows')
  })

  test.each(snapshots)('generation %i: a logical volume of two segments has the bytes it had', async (generation, time) => {
    const { volumes } = await disksOf(time, ['drive-scsi1.img']).volumesOf('drive-scsi1.img')
    const first = volumes.find(({ name }) => name === 'vg1-first.ext4')!
    expect(first.stream.extents.map(({ start, length }) => [start, length])).toEqual([
      [0x10_0000, 16777216],
      [0x10_0000 + 9 * 4194304, 16777216],
    ])
    expect(await sha256(first.stream)).toBe(truthOf(generation).first)
    // Made for swap, but never formatted.
    const swap = volumes.find(({ name }) => name === 'vg1-swap.raw')!
    expect([swap.stream.size, swap.fileSystem]).toEqual([20971520, undefined])
    expect(Buffer.from(await swap.stream.read(0, 65536)).includes('SWAPSPACE2')).toBe(false)
  })

  test('a disk of islands has no volumes and is not read for them', async () => {
    const stream = new GoldenStream(store, `vm/100/${TIMES[0]}/drive-scsi3.img.fidx`)
    const scan = await scanDisk(stream)
    expect([scan.table, scan.parts.length, scan.problems]).toEqual(['none', 0, []])
    expect(stream.touched.size).toBeLessThan(5)
  })
})

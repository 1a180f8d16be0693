import { describe, expect, test } from 'vitest'
import { DiskSet } from '#src/volumes/disk-set.js'
import { scanDisk } from '#src/volumes/scan-disk.js'
import { DiskWriter } from '../support/disk-writer.js'
import { MemoryStream } from '../support/memory-stream.js'

const MiB = 1024 * 1024
const scan = (disk: DiskWriter) => scanDisk(new MemoryStream(disk.bytes, { name: 'disk' }))
const messages = (problems: readonly Error[]) => problems.map(({ message }) => message)

async function placesOf(disk: DiskWriter): Promise<(readonly [number, number, number])[]> {
  return (await scan(disk)).parts.map(({ partition, span }) => [partition?.number ?? 0, span.start, span.size] as const)
}

describe('GPT', () => {
  const disk = () => new DiskWriter(4 * MiB).gpt([{ first: 2048, last: 4095, name: 'one' }, undefined, { first: 4096, last: 6143 }])

  test('partitions with their numbers and names', async () => {
    const { table, parts, problems } = await scan(disk())
    expect([table, problems]).toEqual(['gpt', []])
    expect(parts.map(({ partition }) => [partition!.number, partition!.name, partition!.type])).toEqual([
      [1, 'one', '0FC63DAF-8483-4772-8E79-3D69D8477DE4'],
      [3, undefined, '0FC63DAF-8483-4772-8E79-3D69D8477DE4'],
    ])
    expect(await placesOf(disk())).toEqual([[1, MiB, MiB], [3, 2 * MiB, MiB]])
  })

  test('sectors of 4096 bytes', async () => {
    expect(await placesOf(new DiskWriter(4 * MiB).gpt([{ first: 256, last: 511 }], 4096))).toEqual([[1, MiB, MiB]])
  })

  const damage: [what: string, (disk: DiskWriter) => void][] = [
    ['a flipped bit in the header', ({ bytes }) => (bytes[512 + 60]! ^= 1)],
    ['a flipped bit in the entries', ({ bytes }) => (bytes[1024 + 40]! ^= 1)],
    ['the first MiB wiped', ({ bytes }) => bytes.fill(0, 0, MiB)],
    ['the header wiped', ({ bytes }) => bytes.fill(0, 512, 1024)],
  ]
  test.each(damage)('%s: the GPT at the end is used, and that is said', async (_, spoil) => {
    const spoilt = disk()
    spoil(spoilt)
    expect(await placesOf(spoilt)).toEqual([[1, MiB, MiB], [3, 2 * MiB, MiB]])
    expect(messages((await scan(spoilt)).problems).join()).toContain('the one at the end of the disk is used')
  })

  test('a disk that has grown since: the second GPT lies where the protective MBR says', async () => {
    const grown = new DiskWriter(8 * MiB).write(0, disk().bytes)
    grown.bytes.fill(0, 512, 1024)
    expect(await placesOf(grown)).toEqual([[1, MiB, MiB], [3, 2 * MiB, MiB]])
  })

  test('both damaged: named, no partitions', async () => {
    const spoilt = disk()
    spoilt.bytes[512 + 60]! ^= 1
    spoilt.bytes[spoilt.bytes.length - 512 + 60]! ^= 1
    const { parts, problems } = await scan(spoilt)
    expect(parts).toEqual([])
    expect(messages(problems).filter((text) => text.includes('GPT header: the checksum is wrong'))).not.toEqual([])
    expect(problems[0]!.fields).toMatchObject({ stream: 'disk', offset: 512 })
  })

  test('an announced GPT that is nowhere', async () => {
    const { parts, problems } = await scan(new DiskWriter(MiB).mbr([{ type: 0xee, first: 1, count: 2047 }]))
    expect([parts, messages(problems)]).toEqual([[], ['disk: the MBR announces a GPT, but there is none']])
  })

  test('partitions outside, overlapping, with numbers of sectors that cannot be', async () => {
    const { parts, problems } = await scan(
      new DiskWriter(4 * MiB).gpt([
        { first: 2048, last: 4095 },
        { first: 3000, last: 5000 },
        { first: 4096, last: 9000 },
        { first: 0, last: 2n ** 64n - 1n },
        { first: 5000, last: 4000 },
        { first: 2n ** 53n, last: 2n ** 53n + 1n },
      ]),
    )
    expect(parts.map(({ partition }) => partition!.number)).toEqual([1, 2])
    const text = messages(problems).join('\n')
    expect(text).toMatch(/partition 3 .*outside the disk/)
    expect(text).toMatch(/partitions 1 and 2 overlap/)
    for (const number of [4, 5, 6]) expect(text).toMatch(new RegExp(`partition ${number} has sectors that cannot be`))
  })
})

describe('MBR', () => {
  test('primary and logical partitions', async () => {
    const disk = new DiskWriter(4 * MiB)
      .mbr([{ type: 0x83, first: 2048, count: 1024, flag: 0x80 }, { type: 0x0f, first: 4096, count: 4096 }])
      .mbr([{ type: 0x83, first: 16, count: 100 }, { type: 0x05, first: 512, count: 600 }], 4096 * 512)
      .mbr([{ type: 0x82, first: 16, count: 200 }], (4096 + 512) * 512)
    expect(await placesOf(disk)).toEqual([
      [1, 2048 * 512, 1024 * 512],
      [5, (4096 + 16) * 512, 100 * 512],
      [6, (4096 + 512 + 16) * 512, 200 * 512],
    ])
    expect((await scan(disk)).parts[1]!.partition).toMatchObject({ type: '0x83', uuid: '00000000-05' })
  })

  test('sectors of 4096 bytes, told by what is found there', async () => {
    const disk = new DiskWriter(4 * MiB).mbr([{ type: 0x83, first: 256, count: 256 }]).ext4(MiB)
    expect(await placesOf(disk)).toEqual([[1, MiB, MiB]])
    const chain = new DiskWriter(4 * MiB).mbr([{ type: 0x05, first: 256, count: 512 }]).mbr([{ type: 0x83, first: 1, count: 10 }], MiB)
    expect(await placesOf(chain)).toEqual([[5, MiB + 4096, 10 * 4096]])
  })

  test('a chain that circles ends with a named problem, and what came before is shown', async () => {
    const { parts, problems } = await scan(
      new DiskWriter(4 * MiB)
        .mbr([{ type: 0x05, first: 2048, count: 4096 }])
        .mbr([{ type: 0x83, first: 1, count: 10 }, { type: 0x05, first: 100, count: 100 }], 2048 * 512)
        .mbr([{ type: 0x83, first: 1, count: 10 }, { type: 0x05, first: 0, count: 100 }], 2148 * 512),
    )
    expect(parts.map(({ partition }) => partition!.number)).toEqual([5, 6])
    expect(messages(problems)).toEqual(['disk: the chain of logical partitions is a circle'])
  })

  test('a chain that leads outside, and one that leads nowhere', async () => {
    const outside = new DiskWriter(MiB).mbr([{ type: 0x05, first: 0x80000000, count: 0xffffffff }])
    expect(messages((await scan(outside)).problems).join()).toMatch(/lie outside/)
    const nowhere = new DiskWriter(MiB).mbr([{ type: 0x05, first: 8, count: 100 }])
    expect(messages((await scan(nowhere)).problems)).toEqual(['disk: no EBR where the chain of logical partitions leads to'])
  })

  test('a chain without end is cut', async () => {
    const disk = new DiskWriter(4 * MiB).mbr([{ type: 0x05, first: 1, count: 8000 }])
    for (let i = 0; i < 8000; i++) disk.mbr([{ type: 0x83, first: 1, count: 1 }, { type: 0x05, first: i + 1, count: 1 }], (1 + i) * 512)
    const { parts, problems } = await scan(disk)
    expect(parts.length).toBeLessThanOrEqual(256)
    expect(messages(problems).join()).toContain('the chain of logical partitions is too long')
  })

  test('a boot sector of a file system is no table', async () => {
    const disk = new DiskWriter(MiB).ext4(0, 'whole')
    disk.bytes[510] = 0x55
    disk.bytes[511] = 0xaa
    const { table, parts } = await scan(disk)
    expect([table, parts.map(({ fileSystem }) => fileSystem?.type)]).toEqual(['none', ['ext4']])
  })
})

describe('disks that cannot be read', () => {
  const failing = (from: number, to: number) => {
    const disk = new DiskWriter(8 * MiB).gpt([{ first: 2048, last: 4095 }, { first: 4096, last: 6143 }]).ext4(2 * MiB, 'two')
    return new MemoryStream(disk.bytes, {
      name: 'disk',
      onRead: (offset, length) => {
        if (offset < to && offset + length > from) throw new (class extends Error {})('unexpected')
      },
    })
  }

  test('what is no fault of the disk is thrown', async () => {
    await expect(scanDisk(failing(0, 512))).rejects.toThrow('unexpected')
  })

  test('too short for anything', async () => {
    for (const size of [0, 1, 511, 512, 513, 4096]) {
      const { parts, problems } = await scan(new DiskWriter(size))
      expect([parts, problems]).toEqual([[], []])
    }
  })
})

describe('names', () => {
  test('labels are hostile bytes', async () => {
    const names = ['../../x', 'a/b', 'c\nd', 'é', '\\x2f', 'long'.repeat(9), '']
    const disk = new DiskWriter(16 * MiB).gpt(names.map((name, i) => ({ first: 2048 * (i + 1), last: 2048 * (i + 1) + 99, name })))
    const { volumes } = await new DiskSet([{ name: 'd', stream: new MemoryStream(disk.bytes) }]).volumesOf('d')
    expect(volumes.map(({ name }) => name)).toEqual([
      'p1-..\\x2f..\\x2fx.raw', 'p2-a\\x2fb.raw', 'p3-c\\x0ad.raw', 'p4-é.raw', 'p5-\\x5cx2f.raw', `p6-${'long'.repeat(9)}.raw`, 'p7.raw',
    ]) // prettier-ignore
  })

  test('bytes that are not UTF-8 in a label', async () => {
    const disk = new DiskWriter(MiB).ext4(0, 'r\xff\xfe/')
    const { volumes } = await new DiskSet([{ name: 'd', stream: new MemoryStream(disk.bytes) }]).volumesOf('d')
    expect(volumes.map(({ name }) => name)).toEqual(['disk-r\\xff\\xfe\\x2f.ext4'])
  })

  test('a journal that was not written back', async () => {
    const disk = new DiskWriter(MiB).ext4(0, 'root', { dirty: true })
    const { volumes, notes } = await new DiskSet([{ name: 'd', stream: new MemoryStream(disk.bytes) }]).volumesOf('d')
    expect(volumes[0]!.fileSystem).toMatchObject({ mountOptions: 'noload' })
    expect(notes[0]!.text).toContain('mount -o loop,ro,noload disk-root.ext4 /mnt')
  })
})

import { closeSync, fstatSync, ftruncateSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ReadAt } from '#src/bytes/read-at.js'
import { DiskSet } from '#src/volumes/disk-set.js'
import { wholeOf } from '#src/volumes/span.js'
import type { FileSystem } from '#src/volumes/superblocks/file-system.js'
import { probeFileSystem } from '#src/volumes/superblocks/probe.js'
import { DiskWriter, lvmId, vgText } from '../support/disk-writer.js'
import { MemoryStream } from '../support/memory-stream.js'
import { skipWithout } from '../support/needs.js'
import { runOk, runProgram } from '../support/run-program.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const MiB = 1024 * 1024
const folder = temporaryFolder()
const UTF8 = { env: { LC_ALL: 'C.UTF-8' } }

/** A file as a stream. */
class FileStream implements ReadAt {
  readonly name: string
  readonly size: number
  readonly #fd: number

  constructor(path: string) {
    this.name = path
    this.#fd = openSync(path, 'r')
    this.size = fstatSync(this.#fd).size
  }

  peek(): undefined {
    return undefined
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = Buffer.alloc(length)
    expect(readSync(this.#fd, bytes, 0, length, offset)).toBe(length)
    return bytes
  }
}

interface Made {
  readonly command: string
  readonly package: string
  readonly sizeMiB: number
  readonly args: readonly string[]
  readonly type: string
  readonly extension: string
}

const made: Made[] = [
  { command: 'mkfs.ext2', package: 'e2fsprogs', sizeMiB: 8, args: ['-q', '-L', 'lab-el'], type: 'ext2', extension: 'ext2' },
  { command: 'mkfs.ext3', package: 'e2fsprogs', sizeMiB: 16, args: ['-q', '-L', 'lab-el'], type: 'ext3', extension: 'ext3' },
  { command: 'mkfs.ext4', package: 'e2fsprogs', sizeMiB: 16, args: ['-q', '-L', 'sixteen letters!'], type: 'ext4', extension: 'ext4' },
  { command: 'mkfs.ext4', package: 'e2fsprogs', sizeMiB: 16, args: ['-q'], type: 'ext4', extension: 'ext4' },
  { command: 'mkfs.vfat', package: 'dosfstools', sizeMiB: 2, args: ['-F', '12', '-n', 'TWELVE'], type: 'vfat', extension: 'vfat' },
  { command: 'mkfs.vfat', package: 'dosfstools', sizeMiB: 32, args: ['-F', '16', '-n', 'SIXTEEN'], type: 'vfat', extension: 'vfat' },
  { command: 'mkfs.vfat', package: 'dosfstools', sizeMiB: 64, args: ['-F', '32', '-n', 'THIRTY TWO'], type: 'vfat', extension: 'vfat' },
  { command: 'mkfs.vfat', package: 'dosfstools', sizeMiB: 64, args: ['-F', '32', '-S', '4096'], type: 'vfat', extension: 'vfat' },
  { command: 'mkfs.ntfs', package: 'ntfs-3g', sizeMiB: 16, args: ['-F', '-q', '-L', 'Größe'], type: 'ntfs', extension: 'ntfs' },
  { command: 'mkfs.exfat', package: 'exfatprogs', sizeMiB: 16, args: ['-n', 'Läbel'], type: 'exfat', extension: 'exfat' },
  { command: 'mkfs.xfs', package: 'xfsprogs', sizeMiB: 320, args: ['-q', '-L', 'twelve lette'], type: 'xfs', extension: 'xfs' },
  { command: 'mkfs.btrfs', package: 'btrfs-progs', sizeMiB: 128, args: ['-q', '-L', 'a label'], type: 'btrfs', extension: 'btrfs' },
  { command: 'mkswap', package: 'util-linux', sizeMiB: 4, args: ['-L', 'swapper'], type: 'swap', extension: 'swap' },
]

describe('what the tools make is what blkid says it is', () => {
  test.for(made)('$command $args', async ({ command, package: debian, sizeMiB, args, type, extension }, context) => {
    skipWithout({ programs: { [command]: debian, blkid: 'util-linux' } }, context)
    const path = join(folder, 'disk')
    const fd = openSync(path, 'w')
    ftruncateSync(fd, sizeMiB * MiB)
    closeSync(fd)
    await runOk(command, [...args, path], UTF8)
    const lines = (await runOk('blkid', ['-p', '-o', 'udev', path], UTF8)).split('\n')
    const blkid = new Map(lines.map((line) => line.split('=') as [string, string]))
    const found = (await probeFileSystem(wholeOf(new FileStream(path))))!
    expect(found).toMatchObject({ type, extension })
    expect(found.type).toBe(blkid.get('ID_FS_TYPE'))
    expect(found.uuid).toBe(blkid.get('ID_FS_UUID'))
    // blkid writes what a shell might not like as \xNN; its output comes as bytes.
    const label = blkid.get('ID_FS_LABEL_ENC')?.replaceAll(/\\x(..)/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 16)))
    expect(Buffer.from(found.label ?? []).toString('latin1')).toBe(label ?? '')
  })

  test('the journal of an ext4 that was in use', async (context) => {
    skipWithout({ programs: { 'mkfs.ext4': 'e2fsprogs', debugfs: 'e2fsprogs' } }, context)
    const path = join(folder, 'dirty')
    await runOk('mkfs.ext4', ['-q', path, '16M'])
    expect((await probeFileSystem(wholeOf(new FileStream(path))))!.hint).toBeUndefined()
    await runProgram('debugfs', ['-w', '-R', 'feature +needs_recovery', path])
    expect(await probeFileSystem(wholeOf(new FileStream(path)))).toMatchObject({ mountOptions: 'noload', mountable: true })
  })
})

function probe(bytes: Uint8Array): Promise<FileSystem | undefined> {
  return probeFileSystem(wholeOf(new MemoryStream(bytes)))
}

describe('members and others, byte by byte', () => {
  const text = (value: string) => Buffer.from(value, 'latin1')

  test('LUKS 1 and 2', async () => {
    const uuid = '11223344-5566-4788-99aa-bbccddeeff00'
    const luks = (version: number) => new DiskWriter(MiB).write(0, text('LUKS\xba\xbe')).write(6, Buffer.from([0, version])).write(24, text('lab')).write(168, text(uuid)).bytes // prettier-ignore
    expect(await probe(luks(1))).toMatchObject({ type: 'crypto_LUKS', extension: 'luks', uuid, mountable: false })
    expect((await probe(luks(1)))!.label).toBeUndefined()
    expect(Buffer.from((await probe(luks(2)))!.label!).toString()).toBe('lab')
  })

  test('BitLocker', async () => {
    const disk = new DiskWriter(MiB).write(0, Buffer.from([0xeb, 0x58, 0x90])).write(3, text('-FVE-FS-')).mbr([])
    expect(await probe(disk.bytes)).toMatchObject({ type: 'BitLocker', mountable: false })
  })

  test('ZFS', async () => {
    const u32 = (...values: number[]) => Buffer.concat(values.map((value) => { const b = Buffer.alloc(4); b.writeUInt32BE(value); return b })) // prettier-ignore
    const name = Buffer.concat([u32(40, 48, 4), text('name'), u32(9, 1, 5), text('tank\0\0\0\0'), Buffer.alloc(4)])
    const guid = Buffer.concat([u32(40, 48, 9), text('pool_guid\0\0\0'), u32(8, 1), Buffer.from('00000000000004d2', 'hex')])
    const list = Buffer.concat([Buffer.from([1, 1, 0, 0]), u32(0, 1), name, guid, u32(0, 0)])
    const found = await probe(new DiskWriter(MiB).write(16384, list).bytes)
    expect(found).toMatchObject({ type: 'zfs_member', extension: 'zfs', uuid: '1234', mountable: false })
    expect(Buffer.from(found!.label!).toString()).toBe('tank\0'.slice(0, 4))
  })

  test('software RAID: at the start, and 1.0 and 0.90 at the end', async () => {
    const sb = (major: number) => Buffer.from([0xfc, 0x4e, 0x2b, 0xa9, major, 0, 0, 0, ...new Array<number>(248).fill(0)])
    for (const at of [0, 4096, MiB - 8192]) {
      expect(await probe(new DiskWriter(MiB).write(at, sb(1)).bytes)).toMatchObject({ type: 'linux_raid_member', mountable: false })
    }
    expect(await probe(new DiskWriter(MiB).write(MiB - 65536, sb(0)).bytes)).toMatchObject({ type: 'linux_raid_member' })
  })

  test('ISO 9660', async () => {
    const disk = new DiskWriter(MiB).write(32769, text('CD001')).write(32808, text('DISC'.padEnd(32))).write(32768 + 813, text('2026010203040506'))
    const found = await probe(disk.bytes)
    expect(found).toMatchObject({ type: 'iso9660', extension: 'iso', uuid: '2026-01-02-03-04-05-06' })
    expect(Buffer.from(found!.label!).toString()).toBe('DISC')
  })

  test('LVM, with the UUID in its groups', async () => {
    expect(await probe(new DiskWriter(2 * MiB).pv(0, lvmId('A'), undefined).bytes)).toMatchObject({
      type: 'LVM2_member', uuid: 'AAAAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAAAA', mountable: false,
    }) // prettier-ignore
  })

  test('btrfs of several devices with a log', async () => {
    const disk = new DiskWriter(MiB).write(0x10040, text('_BHRfS_M')).write(0x10060, Buffer.from([1])).write(0x10088, Buffer.from([3]))
    const found = await probe(disk.bytes)
    expect(found).toMatchObject({ type: 'btrfs', mountOptions: 'rescue=nologreplay' })
    expect(found!.hint).toContain('one of 3 devices')
  })

  test('an XFS whose log cannot be looked at counts as in use', async () => {
    const disk = new DiskWriter(MiB).write(0, text('XFSB'))
    expect(await probe(disk.bytes)).toMatchObject({ type: 'xfs', mountOptions: 'norecovery,nouuid' })
  })

  test('nothing', async () => {
    expect(await probe(new Uint8Array(MiB))).toBeUndefined()
    expect(await probe(new Uint8Array(0))).toBeUndefined()
  })
})

describe('hostile disks', () => {
  const magic: readonly (readonly [at: number, bytes: string])[] = [
    [0, 'XFSB'], [0, 'hsqs'], [1080, '\x53\xef'], [1024, '\xe2\xe1\xf5\xe0'], [0x10040, '_BHRfS_M'], [4086, 'SWAPSPACE2'], [3, 'NTFS    '],
    [3, 'EXFAT   '], [0, '\xeb\x3c\x90'], [510, '\x55\xaa'], [0, 'LUKS\xba\xbe'], [512, 'LABELONE'], [536, 'LVM2 001'], [4096, '\xfc\x4e\x2b\xa9\x01'],
    [16384, '\x01\x01'], [32769, 'CD001'], [512, 'EFI PART'],
  ] // prettier-ignore

  test('any bytes around any magic give volumes inside the disk, or named problems', async () => {
    const size = 192 * 1024
    const patch = fc.tuple(fc.constantFrom(...[0, 440, 512, 1024, 4096, 16384, 65536, 65600, size - 512]), fc.uint8Array({ maxLength: 300 }))
    await fc.assert(
      fc.asyncProperty(fc.array(patch, { maxLength: 5 }), fc.subarray([...magic], { maxLength: 4 }), async (patches, magics) => {
        const disk = new DiskWriter(size)
        for (const [at, bytes] of patches) disk.write(at, bytes.subarray(0, size - at))
        for (const [at, bytes] of magics) disk.write(at, Buffer.from(bytes, 'latin1'))
        const { volumes, notes } = await new DiskSet([{ name: 'd', stream: new MemoryStream(disk.bytes) }]).volumesOf('d')
        expect(notes.length).toBeGreaterThan(0)
        for (const { name, stream } of volumes) {
          expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255)
          expect(/[/\0-\x1f]/.test(name)).toBe(false)
          for (const { start, length } of stream.extents) expect(start >= 0 && start + length <= size).toBe(true)
        }
        expect(new Set(volumes.map(({ name }) => name)).size).toBe(volumes.length)
      }),
      { numRuns: 300 },
    )
  })

  test('any flipped byte of a good disk does no more than that', async () => {
    const pv = new DiskWriter(2 * MiB).pv(0, lvmId('A'), vgText({ pvs: [lvmId('A')], lvs: { one: [{ start: 0, count: 1, pv: 'pv0', from: 0 }] } }))
    const good = new DiskWriter(4 * MiB).gpt([{ first: 2048, last: 6143, name: 'pv' }]).write(MiB, pv.bytes).bytes
    const place = fc.oneof(fc.nat(20_000), fc.nat(8000).map((at) => MiB + at), fc.nat(20_000).map((at) => 4 * MiB - 1 - at))
    await fc.assert(
      fc.asyncProperty(place, fc.integer({ min: 1, max: 255 }), async (at, bits) => {
        const bytes = Buffer.from(good)
        bytes[at]! ^= bits
        const { volumes } = await new DiskSet([{ name: 'd', stream: new MemoryStream(bytes) }]).volumesOf('d')
        const one = volumes.find(({ name }) => name.startsWith('vg0-one'))
        // Whatever a checksum does not cover must not move a volume.
        if (one !== undefined) expect(one.stream.extents.map(({ start, length }) => [start, length])).toEqual([[2 * MiB, MiB]])
      }),
      { numRuns: 150 },
    )
  })
})

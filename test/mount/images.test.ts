import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { DiskWriter } from '../support/disk-writer.js'
import { goldenDir } from '../support/golden.js'
import { MountRig, NOBODY, type Mounted } from '../support/mount-rig.js'
import { describeWith, findProgram, skipWithout } from '../support/needs.js'
import { runOk, runProgram, sh } from '../support/run-program.js'

const golden = goldenDir() ?? ''
const TIMES = ['2023-12-09T12:00:00Z', '2023-12-10T12:00:00Z', '2023-12-11T12:00:00Z'] as const
const MiB = 1024 * 1024

/** File systems with known content: the folder, the file, its kind, what etc/generation begins with. */
const FILE_SYSTEMS = [
  ['drive-scsi0.img', 'p3-root.ext4', 'ext4', 'root'],
  ['drive-scsi1.img', 'vg1-first.ext4', 'ext4', 'lvroot'],
  ['drive-scsi2.img', 'p1-prim.ext4', 'ext4', 'prim'],
  ['drive-scsi2.img', 'p5.squashfs', 'squashfs', 'sq'],
  ['drive-scsi2.img', 'p6.erofs', 'erofs', 'sq'],
  ['drive-virtio0.img', 'disk-bare.ext4', 'ext4', 'bare'],
] as const

const kernelKnows = (type: string) => new RegExp(`\\b${type}$`, 'm').test(readFileSync('/proc/filesystems', 'latin1'))

async function digestOf(path: string): Promise<string> {
  return (await runOk('sha256sum', [path])).slice(0, 64)
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function truthOf(generation: number): Record<string, unknown>[] {
  const text = readFileSync(join(golden, `truth/vm-100-${generation}.jsonl`), 'utf8')
  return text.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
}

let rig: MountRig
beforeAll(() => {
  rig = new MountRig()
})
afterAll(() => rig.cleanUp())

describeWith({ fuse: true, root: true, golden: true, programs: { losetup: 'mount', getfattr: 'attr' } }, 'images of the real server', () => {
  let store: Mounted
  const at = (generation: number, ...names: string[]) => join(store.path, 'vm/100', TIMES[generation - 1]!, ...names)

  beforeAll(async () => {
    store = await rig.mount(join(golden, 'store'), { name: 'store' })
    mkdirSync(rig.at('inside'))
  })

  it('folders of parts are listed, and nothing is read before they are entered', async () => {
    const names = readdirSync(at(1))
    for (const name of names.filter((file) => file.endsWith('.img'))) expect(names).toContain(`${name}.parts`)
    await runOk('ls', ['-lR', '--ignore=*.parts', at(1)])
    for (const name of names) statSync(at(1, name))
    const { out } = await rig.pbsfs(['status', '--json', store.path])
    const [mount] = (JSON.parse(out) as { mounts: { session: { cache: { chunks: number; misses: number } } }[] }).mounts
    expect(mount!.session.cache).toMatchObject({ chunks: 0, misses: 0 })
    expect(readdirSync(at(1, 'drive-scsi0.img.parts'))).toEqual(['README.txt', 'p1-bios.raw', 'p2-ESP.vfat', 'p3-root.ext4'])
  })

  const generations = [1, 2, 3].flatMap((generation) => FILE_SYSTEMS.map((row) => [generation, ...row] as const))
  it.each(generations)('generation %i: %s/%s mounts', async (generation, image, file, type, name) => {
    if (!kernelKnows(type)) return void process.stderr.write(`not looked at: this kernel has no ${type}\n`)
    const path = at(generation, `${image}.parts`, file)
    await runOk('mount', ['-t', type, '-o', 'loop,ro', path, rig.at('inside')])
    try {
      expect(readFileSync(rig.at('inside/etc/generation'), 'utf8').trim()).toBe(`${name} generation ${generation}`)
      expect(await digestOf(rig.at('inside/home/user/stable.bin'))).toBe('47df458b6d2f89e683e6b0602ecda18c54ba8aa794c4d4519e4c6e300fc8585f')
      expect(readdirSync(rig.at('inside/home/user')).some((entry) => entry.startsWith('changing-'))).toBe(true)
    } finally {
      await runOk('umount', [rig.at('inside')])
    }
    expect(await sh(`getfattr --absolute-names --only-values -n user.pbs.fstype '${path}'`)).toBe(type)
  })

  it('a logical volume of two segments is the one that was backed up', async () => {
    for (const generation of [1, 2, 3]) {
      const truth = truthOf(generation).find((row) => 'lvm_first_sha256' in row)!['lvm_first_sha256']
      expect(await digestOf(at(generation, 'drive-scsi1.img.parts/vg1-first.ext4'))).toBe(truth)
    }
  })

  it('losetup -P, partitions, 4 KiB direct reads', async () => {
    const image = at(2, 'drive-scsi0.img')
    const device = (await runOk('losetup', ['-f', '--show', '-P', '-r', image])).trim()
    try {
      const whole = readFileSync(image)
      expect(sha256(whole)).toBe(truthOf(2).find((row) => row['archive'] === 'drive-scsi0.img.fidx')!['sha256'])
      for (let i = 0; i < 25; i++) {
        const block = randomBytes(4).readUInt32LE() % Math.floor(whole.length / 4096)
        const line = `dd if=${device} bs=4096 skip=${block} count=1 iflag=direct status=none | sha256sum`
        expect((await sh(line)).slice(0, 64)).toBe(sha256(whole.subarray(block * 4096, block * 4096 + 4096)))
      }
      // Kernels without parsers of partition tables are told by partx.
      await runProgram('partx', ['-a', device])
      await runOk('mount', ['-o', 'ro', `${device}p3`, rig.at('inside')])
      expect(readFileSync(rig.at('inside/etc/generation'), 'utf8').trim()).toBe('root generation 2')
      await runOk('umount', [rig.at('inside')])
    } finally {
      await runProgram('partx', ['-d', device])
      await runOk('losetup', ['-d', device])
    }
  })

  it('qemu-img sees the holes, and a converted copy is equal', async (context) => {
    skipWithout({ programs: { 'qemu-img': 'qemu-utils' } }, context)
    const image = at(1, 'drive-scsi3.img')
    const map = JSON.parse(await runOk('qemu-img', ['map', '-f', 'raw', '--output=json', image])) as { start: number; data: boolean }[]
    expect(map.filter(({ data }) => data).map(({ start }) => start)).toEqual([0, 4_999_610_368, 15_032_385_536])
    await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', image, rig.at('copy.qcow2')])
    expect(await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', image, rig.at('copy.qcow2')])).toContain('Images are identical')
    await runOk('qemu-img', ['check', rig.at('copy.qcow2')])
    expect(statSync(rig.at('copy.qcow2')).size).toBeLessThan(16 * MiB)
    const info = JSON.parse(await runOk('qemu-img', ['info', '--output=json', at(1, 'drive-scsi0.img.parts/p3-root.ext4')])) as Record<string, unknown>
    expect(info).toMatchObject({ format: 'raw', 'virtual-size': 98304 * 1024 })
  })
})

describeWith({ fuse: true, root: true, golden: true, programs: { getfattr: 'attr' } }, 'an encrypted image', () => {
  const snapshot = 'vm/101/latest'

  it('without its key: the folder says so', async () => {
    const { path } = await rig.mount(join(golden, 'store'), { name: 'no-key' })
    const folder = join(path, snapshot, 'drive-scsi1.img.parts')
    expect(() => readdirSync(folder)).toThrow(/EACCES/)
    expect(await sh(`getfattr --absolute-names --only-values -n user.pbs.key '${folder}'`)).toMatch(/key/)
  })

  it('with its key: volumes and holes', async () => {
    const { path } = await rig.mount(join(golden, 'store'), { name: 'key', args: ['--keyfile', join(golden, 'keys/plain.key')] })
    const folder = join(path, snapshot, 'drive-scsi1.img.parts')
    expect(readdirSync(folder)).toEqual(['README.txt', 'vg1-first.ext4', 'vg1-swap.raw'])
    // The same disk as in the third generation of vm/100.
    const truth = truthOf(3).find((row) => 'lvm_first_sha256' in row)!['lvm_first_sha256']
    expect(await digestOf(join(folder, 'vg1-first.ext4'))).toBe(truth)
    const [plain, encrypted] = [join(path, 'vm/100', TIMES[2], 'drive-scsi1.img'), join(path, snapshot, 'drive-scsi1.img')].map((file) => statSync(file))
    expect(encrypted!.blocks).toBe(plain!.blocks)
  })
})

describeWith({ fuse: true, user: true, golden: true }, 'images for an ordinary user', () => {
  it('debugfs, fuse2fs, mdir', async () => {
    const own = new MountRig({ uid: process.geteuid?.() === 0 ? NOBODY : undefined })
    try {
      const { path } = await own.mount(join(golden, 'store'), { name: 'store' })
      const snapshot = join(path, 'vm/100', TIMES[2])
      const root = join(snapshot, 'drive-scsi0.img.parts/p3-root.ext4')
      if (findProgram('debugfs') !== undefined) {
        expect(await runOk('debugfs', ['-R', 'cat /etc/generation', root], own.who)).toContain('root generation 3')
      }
      if (findProgram('mdir') !== undefined) {
        const vfat = join(snapshot, 'drive-scsi0.img.parts/p2-ESP.vfat')
        expect(await runOk('mdir', ['-i', vfat, '-b', '::'], own.who)).toContain('BOOT.TXT')
      }
      if (findProgram('fuse2fs') !== undefined) {
        await sh(`mkdir ${own.at('inside')} && fuse2fs -o ro ${root} ${own.at('inside')}`, own.who)
        expect(await runOk('cat', [own.at('inside/etc/generation')], own.who)).toContain('root generation 3')
        await runOk('fusermount3', ['-u', own.at('inside')], own.who)
      }
    } finally {
      await own.cleanUp()
    }
  })
})

describeWith({ fuse: true, root: true, programs: { losetup: 'mount', getfattr: 'attr', 'mkfs.ext4': 'e2fsprogs' } }, 'images made here', () => {
  let store: DatastoreWriter
  let hour = 0

  beforeAll(() => {
    store = new DatastoreWriter(rig.at('made'))
    mkdirSync(rig.at('there'), { recursive: true })
  })

  /** Backs up disks as one snapshot of vm/7 and mounts it. */
  async function backUp(disks: Readonly<Record<string, Uint8Array>>): Promise<Mounted> {
    const time = `2026-02-01T${String(hour++).padStart(2, '0')}:00:00Z`
    const snapshot = store.snapshot({ type: 'vm', id: '7' }, time)
    for (const [name, bytes] of Object.entries(disks)) snapshot.addImage(`${name}.img.fidx`, bytes, 4 * MiB)
    snapshot.finish()
    return rig.mount(`${store.path}::vm/7/${time}`, { name: `made-${hour}` })
  }

  /** An image of a file system as it is while it is mounted: its journal has not been written back. */
  async function inUse(make: string, sizeMiB: number): Promise<Buffer> {
    const [disk, copy] = [rig.at('disk'), rig.at('disk.copy')]
    await sh(`rm -f ${disk} && truncate -s ${sizeMiB}M ${disk} && ${make} ${disk} && mount -o loop ${disk} ${rig.at('there')}`)
    await sh(`for i in 1 2 3; do echo content $i > ${rig.at('there')}/$i; sync ${rig.at('there')}/$i; done; cp --sparse=always ${disk} ${copy}`)
    await sh(`umount ${rig.at('there')}`)
    return readFileSync(copy)
  }

  const inUseTypes = [
    ['ext4', 'e2fsprogs', 'mkfs.ext4 -q -L busy', 64, 'noload'],
    ['xfs', 'xfsprogs', 'mkfs.xfs -q -L busy', 320, 'norecovery,nouuid'],
  ] as const
  it.for(inUseTypes)('%s that was in use: the hint mounts it', async ([type, debian, make, sizeMiB, options], context) => {
    skipWithout({ programs: { [make.split(' ')[0]!]: debian } }, context)
    if (!kernelKnows(type)) return void process.stderr.write(`not looked at: this kernel has no ${type}\n`)
    const { path } = await backUp({ disk: await inUse(make, sizeMiB) })
    const file = join(path, `disk.img.parts/disk-busy.${type}`)
    const hint = await sh(`getfattr --absolute-names --only-values -n user.pbs.hint '${file}'`)
    expect(hint).toContain(`mount -o loop,ro,${options} disk-busy.${type}`)
    expect(readFileSync(join(path, 'disk.img.parts/README.txt'), 'utf8')).toContain(`mount -o loop,ro,${options} disk-busy.${type}`)
    expect((await runProgram('mount', ['-o', 'loop,ro', file, rig.at('there')])).code).not.toBe(0)
    await runOk('mount', ['-o', `loop,ro,${options}`, file, rig.at('there')])
    await runOk('umount', [rig.at('there')])
  })

  it('btrfs', async (context) => {
    skipWithout({ programs: { 'mkfs.btrfs': 'btrfs-progs' } }, context)
    if (!kernelKnows('btrfs')) return void process.stderr.write('not looked at: this kernel has no btrfs\n')
    await sh(`rm -f ${rig.at('disk')} && truncate -s 128M ${rig.at('disk')} && mkfs.btrfs -q -L bee ${rig.at('disk')} && mount -o loop ${rig.at('disk')} ${rig.at('there')}`)
    await sh(`echo hello > ${rig.at('there')}/a; umount ${rig.at('there')}`)
    const { path } = await backUp({ disk: readFileSync(rig.at('disk')) })
    await runOk('mount', ['-o', 'loop,ro', join(path, 'disk.img.parts/disk-bee.btrfs'), rig.at('there')])
    expect(readFileSync(join(rig.at('there'), 'a'), 'utf8')).toBe('hello\n')
    await runOk('umount', [rig.at('there')])
  })

  it('holes of a partition, and a partition that begins inside a chunk', async () => {
    const disk = new DiskWriter(40 * MiB).gpt([{ first: 2048 + 8, last: 65535, name: 'odd' }])
    const data = randomBytes(MiB)
    disk.write(30 * MiB, data)
    const { path } = await backUp({ disk: disk.bytes })
    const file = join(path, 'disk.img.parts/p1-odd.raw')
    const stat = statSync(file)
    expect(stat.size).toBe((65536 - 2056) * 512)
    // The rest of the chunk with the table, and the one with data.
    expect(stat.blocks * 512).toBe(3 * MiB - 4096 + 4 * MiB)
    await runOk('cp', ['--sparse=auto', file, rig.at('part')])
    expect(statSync(rig.at('part')).blocks * 512).toBeLessThan(8 * MiB)
    expect(sha256(readFileSync(rig.at('part')))).toBe(sha256(disk.bytes.subarray(2056 * 512, 65536 * 512)))
  })

  it('a damaged table: said in the attribute, the README and the log; the image is readable', async () => {
    const disk = new DiskWriter(8 * MiB).gpt([{ first: 2048, last: 4095, name: 'in' }, { first: 4096, last: 2n ** 63n, name: 'out' }])
    disk.bytes[512 + 20]! ^= 1
    const mounted = await backUp({ disk: disk.bytes })
    const folder = join(mounted.path, 'disk.img.parts')
    expect(readdirSync(folder)).toEqual(['README.txt', 'p1-in.raw'])
    const error = await sh(`getfattr --absolute-names --only-values -n user.pbs.error '${folder}'`)
    const readme = readFileSync(join(folder, 'README.txt'), 'utf8')
    const log = readFileSync(join(mounted.path, '.pbsfs/errors'), 'latin1')
    for (const text of [error, readme, log]) {
      expect(text).toContain('GPT header: the checksum is wrong')
      expect(text).toContain('partition 2 has sectors that cannot be')
    }
    expect(await digestOf(join(mounted.path, 'disk.img'))).toBe(sha256(disk.bytes))
  })

  it('an archive that has the name of the folder keeps it', async () => {
    const time = `2026-02-01T${String(hour++).padStart(2, '0')}:00:00Z`
    const snapshot = store.snapshot({ type: 'vm', id: '7' }, time)
    snapshot.addImage('disk.img.fidx', new DiskWriter(MiB).bytes)
    snapshot.addBlob('disk.img.parts.blob', Buffer.from('mine'))
    snapshot.finish()
    const { path } = await rig.mount(`${store.path}::vm/7/${time}`, { name: 'clash' })
    expect(readFileSync(join(path, 'disk.img.parts'), 'utf8')).toBe('mine')
  })

  it('a folder of parts, and a file in it, as SOURCE', async () => {
    const { path } = await backUp({ disk: new DiskWriter(8 * MiB).gpt([{ first: 2048, last: 4095, name: 'one' }]).bytes })
    expect(readdirSync(path).sort()).toContain('disk.img.parts')
    const folder = await rig.mount(`${store.path}::vm/7/latest/disk.img.parts`, { name: 'folder' })
    expect(readdirSync(folder.path)).toEqual(['README.txt', 'p1-one.raw'])
    const file = await rig.mount(`${store.path}::vm/7/latest/disk.img.parts:p1-one.raw`, { name: 'file' })
    expect(readdirSync(file.path)).toEqual(['p1-one.raw'])
    expect(statSync(join(file.path, 'p1-one.raw')).size).toBe(MiB)
  })
})

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { noise } from '../support/chunk-rig.js'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { MountRig, NOBODY, type Mounted } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { dir, encodeArchive, file } from '../support/pxar-encoder.js'
import { quote, runOk, runProgram, sh } from '../support/run-program.js'

const TIME = '2026-01-01T00:00:00Z'
const CHUNK = 65_536
const image = noise(10 * CHUNK + 512, 3)
image.fill(0, 3 * CHUNK, 5 * CHUNK)

let rig: MountRig
beforeEach(() => {
  rig = new MountRig()
})
afterEach(() => rig.cleanUp())

function writeStore(name: string, drive: Buffer, id = '100'): string {
  const store = new DatastoreWriter(rig.at(name))
  const snapshot = store.snapshot({ type: 'vm', id }, TIME)
  snapshot.addImage('drive.img.fidx', drive, CHUNK)
  snapshot.addBlob('some.conf.blob', Buffer.from('x'))
  const { meta, payload } = encodeArchive(dir('', [file('f', 'F')]), { split: true })
  snapshot.addStream('root.mpxar.didx', [meta])
  snapshot.addStream('root.ppxar.didx', [payload!])
  snapshot.finish()
  return store.path
}

const mount = (source: string, name = 'mnt') => rig.mount(source, { name, args: ['--overlay', rig.at('overlay')] })
const snapshotOf = ({ path }: Mounted) => join(path, 'vm/100', TIME)
const drive = (mounted: Mounted) => join(snapshotOf(mounted), 'drive.img')
const overlayFile = () => rig.at('overlay/vm/100', TIME, 'drive.img')

/** Writes as programs do, and waits until it is safe. */
function writeAt(path: string, bytes: Buffer, offset: number): void {
  const fd = openSync(path, 'r+')
  try {
    writeSync(fd, bytes, 0, bytes.length, offset)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function changed(...changes: (readonly [bytes: Buffer, offset: number])[]): Buffer {
  const out = Buffer.from(image)
  for (const [bytes, offset] of changes) bytes.copy(out, offset)
  return out
}

describeWith({ fuse: true }, 'images that are written to', () => {
  it('reads see what was written, the backup stays as it is, a later mount sees it again', async () => {
    const store = writeStore('store', image)
    const first = await mount(store)
    expect(readFileSync(drive(first)).equals(image)).toBe(true)
    expect(existsSync(rig.at('overlay'))).toBe(false)
    const [small, large] = [Buffer.from('changed'), noise(2 * CHUNK, 9)]
    writeAt(drive(first), small, 100)
    writeAt(drive(first), large, 4 * CHUNK - 77)
    writeAt(drive(first), small, image.length - small.length)
    const expected = changed([small, 100], [large, 4 * CHUNK - 77], [small, image.length - small.length])
    expect(readFileSync(drive(first)).equals(expected)).toBe(true)
    const plain = await rig.mount(store, { name: 'plain' })
    expect(readFileSync(join(plain.path, 'vm/100', TIME, 'drive.img')).equals(image)).toBe(true)
    await rig.umount(first)
    const again = await mount(store)
    expect(readFileSync(drive(again)).equals(expected)).toBe(true)
    expect(statSync(overlayFile()).size).toBe(image.length)
  })

  it('a part of the store has the overlays of the whole', async () => {
    const store = writeStore('store', image)
    const narrow = await mount(`${store}::vm/100/latest`)
    writeAt(join(narrow.path, 'drive.img'), Buffer.from('x'), 5)
    await rig.umount(narrow)
    expect(readFileSync(drive(await mount(store))).equals(changed([Buffer.from('x'), 5]))).toBe(true)
  })

  it('an end with kill -9 loses nothing that was written', async () => {
    const store = writeStore('store', image)
    const first = await mount(store)
    const fd = openSync(drive(first), 'r+')
    writeSync(fd, 'not synced', 7 * CHUNK)
    closeSync(fd)
    process.kill(first.pid, 'SIGKILL')
    await rig.pbsfs(['umount', '-l', first.path])
    expect(readFileSync(drive(await mount(store, 'again'))).equals(changed([Buffer.from('not synced'), 7 * CHUNK]))).toBe(true)
  })

  it('a disk keeps its size; everything that is no image stays as it is', async () => {
    const mounted = await mount(writeStore('store', image))
    await expect(runOk('truncate', ['-s', '10', drive(mounted)])).rejects.toThrow(/not permitted/)
    expect((await runProgram('dd', ['if=/dev/zero', `of=${drive(mounted)}`, 'bs=1M', 'count=5', 'conv=notrunc'])).err).toMatch(/No space left/)
    expect(statSync(drive(mounted)).size).toBe(image.length)
    await runOk('touch', [drive(mounted)])
    for (const path of ['some.conf', 'index.json', 'root.pxar/f']) {
      expect(() => writeFileSync(join(snapshotOf(mounted), path), 'y'), path).toThrow(/EROFS/)
    }
    expect(() => mkdirSync(join(snapshotOf(mounted), 'new'))).toThrow(/EROFS/)
    expect(() => writeFileSync(join(snapshotOf(mounted), 'new'), 'x')).toThrow(/EROFS/)
    expect(() => rmSync(drive(mounted))).toThrow(/EROFS/)
  })

  it('holes are punched and zeroed', async () => {
    const mounted = await mount(writeStore('store', image))
    await runOk('fallocate', ['-p', '-o', String(CHUNK - 10), '-l', String(2 * CHUNK), drive(mounted)])
    await runOk('fallocate', ['-z', '-n', '-o', String(7 * CHUNK), '-l', '1000', drive(mounted)])
    expect(readFileSync(drive(mounted)).equals(changed([Buffer.alloc(2 * CHUNK), CHUNK - 10], [Buffer.alloc(1000), 7 * CHUNK]))).toBe(true)
  })

  it('an overlay of another image, or one that is in use, is refused; a damaged map is named', async () => {
    const first = await mount(writeStore('store', image))
    writeAt(drive(first), Buffer.from('x'), 5)
    const other = writeStore('other', noise(11 * CHUNK, 4))
    const second = await mount(other, 'second')
    expect(() => readFileSync(drive(second))).toThrow(/EBUSY|EIO/)
    await rig.umount(first)
    expect(() => readFileSync(drive(second))).toThrow(/EIO/)
    expect(readFileSync(join(second.path, '.pbsfs/errors'), 'utf8')).toMatch(/belongs to another image: vm\/100\/2026-01-01T00:00:00Z\/drive\.img/)
    const map = readFileSync(`${overlayFile()}.map`)
    map[40]! ^= 1
    writeFileSync(`${overlayFile()}.map`, map)
    expect(() => readFileSync(drive(second))).toThrow(/EIO/)
    expect(readFileSync(join(second.path, '.pbsfs/errors'), 'utf8')).toMatch(/map of the disk is damaged/)
  })

  it('an image that was read gets no overlay that another mount has made since: what was read would be mixed with it', async () => {
    const store = writeStore('store', image)
    const first = await mount(store)
    const other = await mount(store, 'other')
    const head = (mounted: Mounted) => sh(`dd if=${quote(drive(mounted))} bs=4k count=1 iflag=direct status=none | sha256sum`)
    const before = await head(first)
    writeAt(drive(other), Buffer.from('theirs'), 5)
    expect(await head(other)).not.toBe(before)
    const refused = async () => {
      expect(() => writeAt(drive(first), Buffer.from('ours'), 9)).toThrow(/EBUSY/)
      expect((await runProgram('dd', [`if=${drive(first)}`, 'bs=4k', 'count=1', 'skip=20', 'iflag=direct', 'of=/dev/null'])).err).toMatch(/resource busy|Input\/output error/)
    }
    await refused()
    await rig.umount(other)
    await refused()
    expect(readFileSync(join(first.path, '.pbsfs/errors'), 'utf8')).toMatch(/somebody else has made this overlay since the image was looked at here/)
    await rig.umount(first)
    expect(readFileSync(drive(await mount(store))).equals(changed([Buffer.from('theirs'), 5]))).toBe(true)
  })

  it.each([['mnt/deep'], ['mnt'], ['made'], ['made/deep']])('a mount is not its own overlay: %s', async (place) => {
    const store = writeStore('store', image)
    mkdirSync(rig.at('mnt'), { recursive: true })
    const mountpoint = place.split('/')[0]!
    const { code, err } = await rig.pbsfs(['mount', store, rig.at(mountpoint), '--overlay', rig.at(place)])
    expect([code, err]).toEqual([2, expect.stringMatching(/the overlay .* lies in the mountpoint/)])
    expect(existsSync(rig.at('made'))).toBe(false)
  })

  it('nothing is made in a datastore', async () => {
    const store = writeStore('store', image)
    await expect(rig.mount(store, { args: ['--overlay', join(store, 'overlay')] })).rejects.toThrow(/lies in the datastore .*, which is never written to/)
    expect(existsSync(join(store, 'overlay'))).toBe(false)
  })

  it('what has no images, or a driver that cannot, is refused with a reason', async () => {
    const { meta } = encodeArchive(dir('', []))
    writeFileSync(rig.at('lone.pxar'), meta)
    await expect(mount(rig.at('lone.pxar'))).rejects.toThrow(/--overlay is for the disk images of a datastore/)
    const native = rig.mount(writeStore('store', image), { args: ['--overlay', rig.at('overlay'), '--driver', 'fuse-native'] })
    await expect(native).rejects.toThrow(/--overlay works with --driver kernel alone/)
  })
})

describeWith({ user: true }, 'an ordinary user', () => {
  it('writes to images as well', async () => {
    const mine = new MountRig({ uid: process.geteuid?.() === 0 ? NOBODY : undefined })
    try {
      const store = writeStore('store', image)
      await runOk('cp', ['-r', store, mine.at('store')])
      if (process.geteuid?.() === 0) await runOk('chown', ['-R', `${NOBODY}`, mine.at('store')])
      const { path } = await mine.mount(mine.at('store'), { args: ['-o', `overlay=${mine.at('overlay')}`] })
      const disk = join(path, 'vm/100', TIME, 'drive.img')
      await sh(`printf changed | dd of=${quote(disk)} conv=notrunc bs=1 seek=100 status=none`, mine.who)
      expect((await sh(`head -c 107 ${quote(disk)} | tail -c 7`, mine.who))).toBe('changed')
    } finally {
      await mine.cleanUp()
    }
  })
})

describeWith({ fuse: true, root: true, programs: { 'mkfs.ext4': 'e2fsprogs', losetup: 'mount' } }, 'a file system inside', () => {
  /** A disk as it is when its machine loses power: the journal holds what the file system does not. */
  async function crashedDisk(): Promise<Buffer> {
    const [disk, at] = [rig.at('disk'), rig.at('at')]
    mkdirSync(at)
    await sh(`truncate -s 24M ${quote(disk)} && mkfs.ext4 -q ${quote(disk)} && mount -o loop ${quote(disk)} ${quote(at)}`)
    try {
      await sh(`echo precious > ${quote(join(at, 'file'))} && sync -f ${quote(at)} && cp ${quote(disk)} ${quote(`${disk}.crashed`)}`)
    } finally {
      await runOk('umount', [at])
    }
    return readFileSync(`${disk}.crashed`)
  }

  it('ext4 with a journal to replay is mounted read-write, repaired and changed; the backup is not', async () => {
    const disk = await crashedDisk()
    const store = writeStore('store', disk)
    const before = await sh(`find ${quote(store)} -type f -exec sha256sum {} + | sort`)
    const mounted = await mount(store)
    expect(await runOk('file', ['-s', drive(mounted)]).catch(() => 'needs journal recovery')).toMatch(/needs journal recovery/)
    const inside = rig.at('inside')
    mkdirSync(inside)
    await runOk('mount', ['-o', 'loop', drive(mounted), inside])
    try {
      expect(readFileSync(join(inside, 'file'), 'utf8')).toBe('precious\n')
      writeFileSync(join(inside, 'new'), noise(300_000, 5))
      expect(readdirSync(inside).sort()).toEqual(['file', 'lost+found', 'new'])
    } finally {
      await runOk('umount', [inside])
    }
    await runOk('e2fsck', ['-fn', drive(mounted)])
    await rig.umount(mounted)
    const again = await mount(store)
    await runOk('mount', ['-o', 'loop,ro', drive(again), inside])
    try {
      expect(readFileSync(join(inside, 'new')).equals(noise(300_000, 5))).toBe(true)
    } finally {
      await runOk('umount', [inside])
    }
    expect(await sh(`find ${quote(store)} -type f -exec sha256sum {} + | sort`)).toBe(before)
    // Only what was changed takes room.
    expect(statSync(overlayFile()).blocks * 512).toBeLessThan(8 << 20)
  })

  it('fsck repairs in it', async () => {
    const disk = rig.at('disk')
    await sh(`truncate -s 8M ${quote(disk)} && mkfs.ext4 -q -O ^has_journal ${quote(disk)} && debugfs -w -R 'clri <11>' ${quote(disk)}`)
    const mounted = await mount(writeStore('store', readFileSync(disk)))
    expect((await runProgram('e2fsck', ['-fn', drive(mounted)])).code).not.toBe(0)
    expect((await runProgram('e2fsck', ['-fy', drive(mounted)])).code).toBe(1)
    await runOk('e2fsck', ['-fn', drive(mounted)])
  })
})

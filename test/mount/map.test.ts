import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { DiskWriter } from '../support/disk-writer.js'
import { goldenDir } from '../support/golden.js'
import { MountRig, NOBODY, isRunning, mountsBelow, waitUntil } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { runOk, runProgram } from '../support/run-program.js'

const MiB = 1024 * 1024
const TIME = '2026-02-01T00:00:00Z'
const backingFile = (device: string) => `/sys/block/${basename(device)}/loop/backing_file`

interface MapStatus {
  readonly device: string
  readonly state: string
  readonly file: string
  readonly source: string
}

describeWith({ fuse: true, root: true }, 'pbsfs map', () => {
  let rig: MountRig
  let source: string
  const disk = new DiskWriter(16 * MiB).gpt([{ first: 2048, last: 16383, name: 'one' }, { first: 16384, last: 20479, name: 'two' }])
  const devices: string[] = []

  beforeAll(() => {
    rig = new MountRig()
    disk.write(MiB, randomBytes(MiB)).write(8 * MiB, randomBytes(MiB))
    const store = new DatastoreWriter(rig.at('store'))
    const snapshot = store.snapshot({ type: 'vm', id: '7' }, TIME)
    snapshot.addImage('drive-scsi0.img.fidx', disk.bytes)
    snapshot.addBlob('qemu-server.conf.blob', Buffer.from('name: x\n'))
    snapshot.finish()
    source = `${store.path}::vm/7/latest/drive-scsi0.img`
  })
  afterEach(async () => {
    for (const device of devices.splice(0)) {
      if (existsSync(backingFile(device))) await rig.pbsfs(['unmap', device])
    }
  })
  afterAll(() => rig.cleanUp())

  /** Maps and returns the device; it is removed after the test. */
  async function map(...args: string[]): Promise<string> {
    const { code, out, err } = await rig.pbsfs(['map', ...args])
    if (code !== 0) throw new Error(err)
    const device = out.split('\n')[0]!
    devices.push(device)
    return device
  }

  async function maps(): Promise<MapStatus[]> {
    const { out } = await rig.pbsfs(['status', '--json'])
    return (JSON.parse(out) as { maps: MapStatus[] }).maps
  }

  async function digestOf(device: string): Promise<string> {
    return (await runOk('sha256sum', [device])).slice(0, 64)
  }

  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

  /** Pid of the daemon behind a device. */
  function daemonOf(device: string): number {
    const folder = readFileSync(backingFile(device), 'utf8').trim().replace(/\/[^/]*$/, '')
    const records = readdirSync('/run/pbsfs').filter((name) => /^mount-\d+\.json$/.test(name))
    const parsed = records.map((name) => JSON.parse(readFileSync(`/run/pbsfs/${name}`, 'utf8')) as { pid: number; mountpoint: string })
    return parsed.find(({ mountpoint }) => mountpoint === Buffer.from(folder).toString('hex'))!.pid
  }

  it('a whole image: read only, the same bytes, listed, removed', async () => {
    const device = await map(source)
    expect(readFileSync(`/sys/block/${basename(device)}/ro`, 'utf8').trim()).toBe('1')
    expect(await digestOf(device)).toBe(sha256(disk.bytes))
    expect((await runProgram('dd', ['if=/dev/zero', `of=${device}`, 'bs=512', 'count=1'])).code).not.toBe(0)
    expect(await maps()).toContainEqual(expect.objectContaining({ device, state: 'mapped', file: 'drive-scsi0.img', source }))
    expect((await rig.pbsfs(['status'])).out).toMatch(new RegExp(`^${device} +mapped`, 'm'))
    expect((await rig.pbsfs(['unmap'])).out).toContain(`pbsfs unmap ${device}`)
    expect((await rig.pbsfs(['umount'])).out).not.toContain('/map-')
    const pid = daemonOf(device)
    expect(await rig.pbsfs(['unmap', device])).toMatchObject({ code: 0, out: `removed ${device}\n` })
    expect([existsSync(backingFile(device)), isRunning(pid)]).toEqual([false, false])
    expect((await maps()).map((found) => found.device)).not.toContain(device)
    expect(readdirSync('/run/pbsfs').filter((name) => name.startsWith('map-') && name.includes(String(pid)))).toEqual([])
  })

  it('one partition, by number and by name of its file', async () => {
    const [first, second] = [await map(source, '--partition', '1'), await map('-p', 'p2-two', source)]
    expect(await digestOf(first)).toBe(sha256(disk.bytes.subarray(MiB, 8 * MiB)))
    expect(await digestOf(second)).toBe(sha256(disk.bytes.subarray(8 * MiB, 10 * MiB)))
  })

  it("the vendor's form", async () => {
    const device = await map(`vm/7/${TIME}`, 'drive-scsi0.img.fidx', '--repository', rig.at('store'))
    expect(await digestOf(device)).toBe(sha256(disk.bytes))
  })

  it('a path to the index file', async () => {
    expect(await digestOf(await map(rig.at('store/vm/7', TIME, 'drive-scsi0.img.fidx')))).toBe(sha256(disk.bytes))
  })

  const wrong: [what: string, args: (source: string) => string[], code: number, says: RegExp][] = [
    ['a partition that is not there', (s) => [s, '-p', '9'], 2, /no partition or volume 9[^]*There are: p1-one.raw, p2-two.raw/],
    ['a snapshot', (s) => [s.replace(/\/drive.*/, '')], 2, /is not a disk image/],
    ['a blob', (s) => [s.replace('drive-scsi0.img', 'qemu-server.conf')], 2, /is not a disk image/],
    ['an image that is not there', (s) => [s.replace('scsi0', 'scsi9')], 4, /no such archive/],
    ['--repository with what is no place in a store', (s) => [s, '--repository', 'x'], 2, /SOURCE is a place in that store/],
  ]
  it.each(wrong)('%s: says so, and leaves nothing', async (_, args, code, says) => {
    const before = mountsBelow('/run/pbsfs').length
    const result = await rig.pbsfs(['map', ...args(source)])
    expect(result).toMatchObject({ code, out: '' })
    expect(result.err).toMatch(says)
    await waitUntil(() => mountsBelow('/run/pbsfs').length <= before, 5000)
  })

  it('unmap of what is no map', async () => {
    for (const name of ['/dev/loop99', '/dev/sda', 'x', '']) {
      expect(await rig.pbsfs(['unmap', name])).toMatchObject({ code: 2 })
    }
    expect(await rig.pbsfs(['unmap', '--all', '/dev/loop0'])).toMatchObject({ code: 2 })
  })

  it('an ordinary user is told what to do instead', async () => {
    const { code, err } = await rig.pbsfs(['map', source], { uid: NOBODY, cwd: '/' })
    expect(code).toBe(6)
    expect(err).toContain('IMAGE.parts')
  })

  it('a daemon that was killed: reading fails, and the next command cleans up', async () => {
    const device = await map(source)
    const pid = daemonOf(device)
    process.kill(pid, 'SIGKILL')
    await waitUntil(() => !isRunning(pid), 5000)
    expect((await runProgram('dd', [`if=${device}`, 'of=/dev/null', 'bs=4096', 'skip=3000', 'count=1', 'iflag=direct'])).code).not.toBe(0)
    expect((await maps()).map((found) => found.device)).not.toContain(device)
    expect(existsSync(backingFile(device))).toBe(false)
    expect(mountsBelow('/run/pbsfs').map(String).filter((path) => path.includes(`map-`) && !existsSync(path))).toEqual([])
  })
})

describeWith({ fuse: true, root: true, golden: true }, 'pbsfs map of a file system', () => {
  it('is mounted, busy, and goes when it is not', async () => {
    const rig = new MountRig()
    const source = `${goldenDir()}/store::vm/100/latest/drive-scsi0.img`
    const { out, err } = await rig.pbsfs(['map', source, '-p', '3'])
    const device = out.trim()
    try {
      expect(err).toContain(`mount -o ro ${device} /mnt`)
      mkdirSync(rig.at('inside'))
      await runOk('mount', ['-o', 'ro', device, rig.at('inside')])
      expect(readFileSync(rig.at('inside/etc/generation'), 'utf8').trim()).toBe('root generation 3')
      const refused = await rig.pbsfs(['unmap', device])
      expect(refused).toMatchObject({ code: 4, out: '' })
      expect(refused.err).toContain(`${device} is in use: mounted at ${rig.at('inside')}`)
      expect(readFileSync(rig.at('inside/etc/generation'), 'utf8').trim()).toBe('root generation 3')
    } finally {
      await runProgram('umount', [rig.at('inside')])
      expect(await rig.pbsfs(['unmap', device])).toMatchObject({ code: 0 })
      await rig.cleanUp()
    }
  })
})

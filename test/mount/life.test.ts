import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { exampleStore, repoDir } from '../support/golden.js'
import { isRunning, mountsBelow, MountRig, waitUntil, type Mounted } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { runOk, runProgram } from '../support/run-program.js'

const HOSTS = 'host/web/latest/root.pxar/etc/hosts'
const LARGE = 'host/web/latest/root.pxar/var/log/lastlog'

/** For a daemon to leave, on a busy machine. */
const LEAVE_MS = 10_000

let rig: MountRig
const holders: ChildProcess[] = []
beforeEach(() => {
  rig = new MountRig()
})
afterEach(async () => {
  for (const child of holders.splice(0)) child.kill('SIGKILL')
  await rig.cleanUp()
})

/** A process whose working directory is there. */
async function holdFolder(folder: string): Promise<ChildProcess> {
  const child = spawn('/bin/sh', ['-c', 'echo here; exec sleep 100'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  holders.push(child)
  await new Promise((resolve) => child.stdout.once('data', resolve))
  return child
}

const gone = () => waitUntil(() => rig.remains().length === 0, LEAVE_MS, 'the end of the mount')

async function umount(mounted: Mounted): Promise<void> {
  const { code, err } = await rig.umount(mounted)
  expect([code, err]).toEqual([0, ''])
}

async function kill(mounted: Mounted, signal: NodeJS.Signals): Promise<void> {
  process.kill(mounted.pid, signal)
  await waitUntil(() => !isRunning(mounted.pid), LEAVE_MS, 'the end of the daemon')
}

describeWith({ fuse: true }, 'the end of a mount', () => {
  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s unmounts and ends a mount in the foreground with 0', async (signal) => {
    const mounted = await rig.mountForeground(exampleStore)
    expect(existsSync(join(mounted.path, HOSTS))).toBe(true)
    mounted.kill(signal)
    expect([await mounted.ended, mountsBelow(rig.folder)]).toEqual([0, []])
    // It was made for the mount.
    expect(existsSync(mounted.path)).toBe(false)
    expect(rig.remains()).toEqual([])
  })

  it('SIGTERM ends one in the background as well; a folder that was there stays', async () => {
    mkdirSync(rig.at('mnt'))
    const mounted = await rig.mount(exampleStore)
    await kill(mounted, 'SIGTERM')
    expect(rig.remains()).toEqual([])
    expect(readdirSync(rig.at('mnt'))).toEqual([])
  })

  it('while the kernel still reads ahead leaves nothing in the log but the end', async () => {
    const store = new DatastoreWriter(rig.at('store'))
    const snapshot = store.snapshot({ type: 'vm', id: '1' }, '2026-01-02T00:00:00Z')
    snapshot.addImage('disk.img.fidx', randomBytes(32 << 20), 512 << 10)
    snapshot.finish()
    // Each READ waits for several chunks, and so for the session.
    for (let round = 0; round < 8; round++) {
      const mounted = await rig.mountForeground(store.path)
      const file = openSync(join(mounted.path, 'vm/1/latest/disk.img'), 'r')
      for (let i = 0; i < 3; i++) readSync(file, Buffer.alloc(1 << 20))
      closeSync(file)
      mounted.kill('SIGINT')
      expect(await mounted.ended).toBe(0)
      expect(mounted.err).not.toMatch(/bug|error|refused/)
    }
  })

  it('`umount` ends it and waits until it has ended', async () => {
    const mounted = await rig.mount(exampleStore)
    const { code, out, err } = await rig.umount(mounted)
    expect([code, out, err]).toEqual([0, `unmounted ${mounted.path}\n`, ''])
    expect([rig.remains(), existsSync(mounted.path)]).toEqual([[], false])
  })

  it('the system unmounts it, too', async () => {
    await rig.mount(exampleStore)
    const isRoot = process.geteuid?.() === 0
    await runOk(isRoot ? 'umount' : 'fusermount3', isRoot ? [rig.at('mnt')] : ['-u', rig.at('mnt')])
    await gone()
    expect(existsSync(rig.at('mnt'))).toBe(false)
  })

  it('`umount` of a mount in use says by whom and leaves it; --lazy frees the path', async () => {
    const mounted = await rig.mount(exampleStore)
    const holder = await holdFolder(join(mounted.path, 'host/web'))
    const refused = await rig.umount(mounted)
    expect([refused.code, refused.out]).toEqual([4, ''])
    expect(refused.err).toContain(`sleep (process ${holder.pid}, working directory)`)
    expect(refused.err).toContain('umount --lazy')
    expect(existsSync(join(mounted.path, HOSTS))).toBe(true)
    const lazy = await rig.umount(mounted, '--lazy')
    expect(lazy.code).toBe(0)
    expect(lazy.err).toContain(`process ${holder.pid}`)
    expect(mountsBelow(rig.folder)).toEqual([])
    holder.kill('SIGKILL')
    await gone()
  })

  it('a signal to a mount in use names the holder, frees the path, and serves what is open to its end', async () => {
    const mounted = await rig.mountForeground(exampleStore)
    const expected = readFileSync(join(mounted.path, HOSTS))
    const holder = await holdFolder(join(mounted.path, 'host'))
    const fd = openSync(join(mounted.path, LARGE), 'r')
    try {
      mounted.kill('SIGTERM')
      await waitUntil(() => mountsBelow(rig.folder).length === 0, LEAVE_MS, 'the free path')
      await waitUntil(() => mounted.err.includes(`process ${holder.pid}`), LEAVE_MS, 'the name of the holder')
      const buffer = Buffer.alloc(1 << 20)
      expect(readSync(fd, buffer, 0, buffer.length, 0)).toBe(buffer.length)
      expect(statSync(`/proc/${holder.pid}/cwd/`).isDirectory()).toBe(true)
      expect(readFileSync(`/proc/${holder.pid}/cwd/web/latest/root.pxar/etc/hosts`).equals(expected)).toBe(true)
      expect(isRunning(mounted.pid)).toBe(true)
    } finally {
      closeSync(fd)
    }
    holder.kill('SIGKILL')
    expect(await mounted.ended).toBe(0)
  })

  it('a second signal cuts off who still uses it', async () => {
    const mounted = await rig.mountForeground(exampleStore)
    const holder = await holdFolder(join(mounted.path, 'host'))
    mounted.kill('SIGINT')
    await waitUntil(() => mounted.err.includes(`process ${holder.pid}`), LEAVE_MS, 'the name of the holder')
    mounted.kill('SIGINT')
    expect(await mounted.ended).toBe(0)
    expect(mountsBelow(rig.folder)).toEqual([])
  })

  it('SIGTERM while it is starting leaves nothing', async () => {
    for (const afterMs of [20, 80, 150, 250]) {
      const child = spawn(process.execPath, [join(repoDir, 'bin/pbsfs.js'), 'mount', '-f', exampleStore, rig.at('mnt')], {
        stdio: ['ignore', 'ignore', 'ignore'],
        env: { ...process.env, ...rig.who.env },
      })
      const ended = new Promise((resolve) => child.on('exit', resolve))
      setTimeout(() => child.kill('SIGTERM'), afterMs)
      await ended
      expect([afterMs, mountsBelow(rig.folder), existsSync(rig.at('mnt'))]).toEqual([afterMs, [], false])
    }
  })
})

describeWith({ fuse: true }, 'after kill -9', () => {
  it('the place answers with an error, `status` calls it dead, and `umount` cleans up', async () => {
    const mounted = await rig.mount(exampleStore)
    await kill(mounted, 'SIGKILL')
    expect(() => readdirSync(mounted.path)).toThrow(/ENOTCONN|ECONNABORTED/)
    const { mounts } = JSON.parse((await rig.pbsfs(['status', '--json'])).out) as { mounts: { mountpoint: string; state: string }[] }
    expect(mounts.find(({ mountpoint }) => mountpoint === mounted.path)?.state).toBe('dead')
    const { code, out } = await rig.umount(mounted)
    expect([code, out]).toEqual([0, `removed ${mounted.path}, which nobody served any more\n`])
    expect([rig.remains(), existsSync(mounted.path)]).toEqual([[], false])
  })

  it('a new mount at the same place just works', async () => {
    for (let round = 0; round < 2; round++) {
      const mounted = await rig.mount(exampleStore)
      expect(readFileSync(join(mounted.path, HOSTS), 'latin1')).toContain('localhost')
      await kill(mounted, 'SIGKILL')
    }
    const mounted = await rig.mount(exampleStore)
    expect(readFileSync(join(mounted.path, HOSTS), 'latin1')).toContain('localhost')
    const { code } = await rig.umount(mounted)
    expect([code, rig.remains(), existsSync(mounted.path)]).toEqual([0, [], false])
  })

  it('somebody in it does not keep it', async () => {
    const mounted = await rig.mount(exampleStore)
    await holdFolder(join(mounted.path, 'host'))
    await kill(mounted, 'SIGKILL')
    expect((await rig.umount(mounted)).code).toBe(0)
    expect(rig.remains()).toEqual([])
  })
})

describeWith({ fuse: true }, 'a mountpoint that will not do', () => {
  beforeEach(() => {
    mkdirSync(rig.at('full'))
    writeFileSync(rig.at('full/file'), 'x')
    writeFileSync(rig.at('file'), 'x')
    mkdirSync(rig.at('store/.chunks'), { recursive: true })
    mkdirSync(rig.at('store/inner'))
    mkdirSync(rig.at('around/store/.chunks'), { recursive: true })
    symlinkSync('store/inner', rig.at('link'))
  })

  const wrong: [what: string, store: string, place: string, sentence: RegExp][] = [
    ['not empty', '', 'full', /full is not empty[^]*-o nonempty/],
    ['a file', '', 'file', /file is not a folder/],
    ['below a file', '', 'file/x', /file\/x is not there and cannot be made \(ENOTDIR\)/],
    ['in a folder that is not there', '', 'none/x', /none/],
    ['in the datastore', 'store', 'store/inner', /lies in the source/],
    ['in the datastore, missing', 'store', 'store/new', /lies in the source/],
    ['in the datastore, by a link', 'store', 'link', /lies in the source/],
    ['the datastore itself', 'store', 'store', /lies in the source/],
    ['above the datastore', 'around/store', 'around', /would hide the source/],
    ['empty', '', '', /mountpoint is missing/],
  ]
  it.each(wrong)('%s', async (_what, store, place, sentence) => {
    const { code, out, err } = await rig.pbsfs(['mount', store === '' ? exampleStore : rig.at(store), place === '' ? '' : rig.at(place)])
    expect([code, out]).toEqual([2, ''])
    expect(err).toMatch(sentence)
    expect(mountsBelow(rig.folder)).toEqual([])
    expect(readdirSync(rig.at('store')).sort()).toEqual(['.chunks', 'inner'])
  })

  it('mounted already', async () => {
    const { path } = await rig.mount(exampleStore)
    const { code, err } = await rig.pbsfs(['mount', exampleStore, path])
    expect([code, err]).toEqual([2, expect.stringMatching(/is a mount already[^]*pbsfs umount/)])
    expect(readdirSync(path)).toEqual(['host', 'ns', 'vm'])
  })

  it('not empty, but wanted', async () => {
    const { path } = await rig.mount(exampleStore, { name: 'full', args: ['-o', 'nonempty'] })
    expect(readdirSync(path)).toEqual(['host', 'ns', 'vm'])
    await rig.umount({ path })
    expect(readdirSync(rig.at('full'))).toEqual(['file'])
  })

  it('what is no mount cannot be unmounted', async () => {
    for (const [place, sentence] of [['full', /is not a mount/], ['none', /none/]] as const) {
      const { code, err } = await rig.pbsfs(['umount', rig.at(place)])
      expect([code, err]).toEqual([2, expect.stringMatching(sentence)])
    }
    const { code, err } = await rig.pbsfs(['umount', '/proc'])
    expect([code, err]).toEqual([2, expect.stringMatching(/not of pbsfs/)])
  })
})

describeWith({ fuse: true }, 'a hundred mounts', () => {
  /** Mounts at a time: each takes half a second of one core, and little of it in parallel. */
  const LANES = 4
  const ways: [name: string, cycles: number, end: (mounted: Mounted) => Promise<void>][] = [
    ['umount', 60, umount],
    ['SIGTERM', 20, (mounted) => kill(mounted, 'SIGTERM')],
    ['kill -9, and the next mount at the place', 20, (mounted) => kill(mounted, 'SIGKILL')],
  ]
  it.each(ways)('that end by %s (%i) leave nothing behind', async (_name, cycles, end) => {
    let left = cycles
    const lanes = Array.from({ length: LANES }, async (_, lane) => {
      while (left-- > 0) {
        const mounted = await rig.mount(exampleStore, { name: `lane-${lane}` })
        expect(readFileSync(join(mounted.path, HOSTS), 'latin1')).toContain('localhost')
        await end(mounted)
      }
    })
    await Promise.all(lanes)
    // One more, which ends in an orderly way, takes away what the killed ones left.
    for (let lane = 0; lane < LANES; lane++) {
      if (mountsBelow(rig.folder).some((path) => path.toString() === rig.at(`lane-${lane}`))) {
        await rig.umount(await rig.mount(exampleStore, { name: `lane-${lane}` }))
      }
    }
    expect(rig.remains()).toEqual([])
    expect(readdirSync(rig.folder)).toEqual(['run'])
  }, 240_000)

  it('one daemon that was used a lot has no more files open than before', async () => {
    const { path, pid } = await rig.mount(exampleStore)
    const count = () => readdirSync(`/proc/${pid}/fd`).length
    await runProgram('find', [path, '-ls'])
    await runOk('grep', ['-rc', 'localhost', join(path, 'host/web')]).catch(() => '')
    const before = count()
    for (let round = 0; round < 20; round++) {
      await runProgram('find', [path, '-type', 'f', '-size', '-100k', '-exec', 'cat', '{}', '+'])
      readFileSync(join(path, '.pbsfs/status'))
    }
    expect(count()).toBeLessThanOrEqual(before + 2)
  })
})

import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, renameSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { exampleStore, goldenDir, repoDir } from '../support/golden.js'
import { isRunning, mountsBelow, MountRig, NOBODY, waitUntil, type Mounted } from '../support/mount-rig.js'
import { describeWith, skipWithout } from '../support/needs.js'
import { runOk, runProgram, sh } from '../support/run-program.js'

const NATIVE = ['--driver', 'fuse-native']
const ARCHIVE = 'host/web/2026-01-01T00:00:00Z/root.pxar'

/** A change of the store is seen by then. */
const SEEN_MS = 1_000

let rig: MountRig
beforeEach(() => {
  rig = new MountRig()
})
afterEach(() => rig.cleanUp())

/** The process in which the library runs. */
function driverOf(daemon: number): number | undefined {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const parent = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${name}/status`, 'latin1'))?.[1]
      const isOurs = readFileSync(`/proc/${name}/cmdline`, 'latin1').includes('session-process.js')
      if (Number(parent) === daemon && isOurs) return Number(name)
    } catch {
      // Gone meanwhile.
    }
  }
  return undefined
}

function mountLine(path: string): string {
  return readFileSync('/proc/self/mountinfo', 'latin1').split('\n').find((line) => line.split(' ')[4] === path) ?? '' // prettier-ignore
}

/** What must be the same through both drivers: everything but times and inode numbers. */
async function describeTree(folder: string): Promise<string> {
  return sh(`cd '${folder}' && find . -printf '%p %y %#m %U %G %s %l %D\\n' | sed 's/ [0-9]*$//' | LC_ALL=C sort`)
}

const NEEDS = { fuse: true, fuseNative: true }

describeWith({ ...NEEDS, programs: { rsync: 'rsync', getfattr: 'attr' } }, 'a mount through fuse-native', () => {
  it('is read-only, without set-user-id and devices, and known as ours', async () => {
    const mounted = await rig.mount(exampleStore, { args: NATIVE })
    expect(mountLine(mounted.path)).toMatch(/ ro,nosuid,nodev[, ].* - fuse\.pbsfs \S*examples\/datastore ro,/)
    const { out } = await rig.pbsfs(['status', '--json'])
    const status = JSON.parse(out) as { mounts: { mountpoint: string; driver: string; state: string }[] }
    expect(status.mounts.find(({ mountpoint }) => mountpoint === mounted.path)).toMatchObject({ driver: 'fuse-native', state: 'running' })
    const { code, err } = await runProgram('touch', [join(mounted.path, 'new')])
    expect([code, err]).toEqual([1, expect.stringContaining('Read-only file system')])
    const { code: left } = await rig.umount(mounted)
    expect(left).toBe(0)
    expect(rig.remains()).toEqual([])
    expect(existsSync(mounted.path)).toBe(false)
  })

  it('shows what the kernel driver shows', async () => {
    const [native, kernel] = [await rig.mount(exampleStore, { args: NATIVE }), await rig.mount(exampleStore, { name: 'kernel' })]
    const at = (mounted: Mounted) => join(mounted.path, ARCHIVE)
    const shown = await describeTree(at(native))
    expect(shown.split('\n').length).toBeGreaterThan(20)
    expect(shown.replaceAll('\\xe9', '\xe9')).toBe(await describeTree(at(kernel)))
    const both = (command: string) =>
      Promise.all([native, kernel].map((mounted) => sh(`cd '${at(mounted)}' && ${command}`)))
    for (const command of [
      'find . -type f -links 1 -not -name "caf*" -print0 | sort -z | xargs -0 sha256sum',
      'getfattr -Rhdm - etc home srv var | sed s/caf.*txt/caf/',
      'find . -printf "%T@ %p\\n" | sed "s/\\.\\([0-9]\\{3\\}\\)[0-9]*/.\\1/; s/caf.*txt/caf/" | sort',
    ]) {
      const [first, second] = await both(command)
      expect(first).toBe(second)
      expect(first!.split('\n').length).toBeGreaterThan(3)
    }
  })

  it('gives files to cp -a, rsync and tar, hard links as such', async (context) => {
    // There are devices in the tree.
    skipWithout({ root: true }, context)
    const { path } = await rig.mount(exampleStore, { args: NATIVE })
    const source = join(path, ARCHIVE)
    await runOk('cp', ['-a', source, rig.at('copied')])
    await runOk('rsync', ['-aHAX', `${source}/`, rig.at('synced')])
    await sh(`tar -C '${source}' -cf - . | (mkdir '${rig.at('tarred')}' && tar -C '${rig.at('tarred')}' -xpf -)`)
    for (const copy of ['copied', 'synced', 'tarred']) {
      expect(await runOk('diff', ['-r', '--no-dereference', '-x', 'dev', '-x', 'ping', source, rig.at(copy)])).toBe('')
      const listing = await sh(`cd '${rig.at(copy)}' && find . -type f -printf '%p %#m %s %n %TY-%Tm-%Td\\n' | LC_ALL=C sort`)
      expect(listing).toBe(await sh(`cd '${source}' && find . -type f -printf '%p %#m %s %n %TY-%Tm-%Td\\n' | LC_ALL=C sort`))
      const [one, two] = ['best.jpg', 'sea.jpg'].map((name) => statSync(rig.at(copy, 'home/anna/photos', name)).ino)
      expect(one).toBe(two)
    }
  })

  it('finds a name that is not UTF-8 as it is shown and as it is', async () => {
    const { path } = await rig.mount(exampleStore, { args: NATIVE })
    const letters = join(path, ARCHIVE, 'home/anna/letters')
    const shown = await runOk('cat', [join(letters, 'caf\\xe9.txt')])
    expect(shown.length).toBeGreaterThan(0)
    expect(await runOk('cat', [Buffer.concat([Buffer.from(`${letters}/caf`), Buffer.from([0xe9]), Buffer.from('.txt')])])).toBe(shown)
  })

  it('answers many at once', async () => {
    const { path } = await rig.mount(exampleStore, { args: NATIVE })
    const find = `find '${path}' -type f -size -2M -not -path '*/secret/*' -print0`
    const sums = await sh(`${find} | sort -z | xargs -0 sha256sum`)
    expect(await sh(`${find} | xargs -0 -n 1 -P 32 sha256sum | sort -k 2`)).toBe(await sh(`sort -k 2 <<'EOF'\n${sums}EOF`))
  })

  it('shows within a second that a snapshot came or went', async () => {
    await runOk('cp', ['-a', exampleStore, rig.at('store')])
    const { path } = await rig.mount(rig.at('store'), { args: NATIVE })
    const group = join(path, 'host/web')
    const snapshot = '2026-01-02T00:00:00Z'
    const isThere = (): boolean => existsSync(join(group, snapshot, 'root.pxar/etc'))
    expect([isThere(), readdirSync(group).includes(snapshot)]).toEqual([true, true])
    renameSync(rig.at('store/host/web', snapshot), rig.at('elsewhere'))
    await new Promise((resolve) => setTimeout(resolve, SEEN_MS))
    expect([isThere(), readdirSync(group).includes(snapshot)]).toEqual([false, false])
    renameSync(rig.at('elsewhere'), rig.at('store/host/web', snapshot))
    await new Promise((resolve) => setTimeout(resolve, SEEN_MS))
    expect([isThere(), readdirSync(group).includes(snapshot)]).toEqual([true, true])
  })

  it('goes on to serve an open file after a lazy unmount', async () => {
    const mounted = await rig.mount(exampleStore, { args: NATIVE })
    const file = openSync(join(mounted.path, ARCHIVE, 'etc/hosts'), 'r')
    try {
      const busy = await rig.umount(mounted)
      expect([busy.code, busy.err]).toEqual([4, expect.stringContaining('in use')])
      expect((await rig.umount(mounted, '--lazy')).code).toBe(0)
      expect(mountsBelow(rig.folder)).toEqual([])
      const bytes = Buffer.alloc(9)
      readSync(file, bytes)
      expect(bytes.toString()).toBe('127.0.0.1')
    } finally {
      closeSync(file)
    }
    await waitUntil(() => rig.remains().length === 0, 10_000)
  })
})

describeWith(NEEDS, 'the end of a mount through fuse-native', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('comes with %s', async (signal) => {
    const foreground = await rig.mountForeground(exampleStore, { args: NATIVE })
    const driver = driverOf(foreground.pid)!
    foreground.kill(signal)
    expect(await foreground.ended).toBe(0)
    expect(isRunning(driver)).toBe(false)
    expect(rig.remains()).toEqual([])
  })

  it('comes to all when the terminal sends the signal to the group', async () => {
    const foreground = await rig.mountForeground(exampleStore, { args: NATIVE })
    const driver = driverOf(foreground.pid)!
    process.kill(driver, 'SIGINT')
    foreground.kill('SIGINT')
    expect(await foreground.ended).toBe(0)
    expect(rig.remains()).toEqual([])
  })

  it('comes with a second signal, although somebody reads', async () => {
    const foreground = await rig.mountForeground(exampleStore, { args: NATIVE })
    const file = openSync(join(foreground.path, ARCHIVE, 'etc/hosts'), 'r')
    try {
      foreground.kill('SIGTERM')
      await waitUntil(() => mountsBelow(rig.folder).length === 0, 10_000)
      foreground.kill('SIGTERM')
      expect(await foreground.ended).toBe(0)
    } finally {
      // The connection is cut: closing tells that, and closes.
      expect(() => closeSync(file)).toThrow('ENOTCONN')
    }
  })

  it('leaves a dead mount after kill -9, which the next one on the place removes', async () => {
    const first = await rig.mount(exampleStore, { args: NATIVE })
    const driver = driverOf(first.pid)!
    process.kill(first.pid, 'SIGKILL')
    await waitUntil(() => !isRunning(driver), 5_000, 'the end of the driver')
    expect(mountsBelow(rig.folder)).toHaveLength(1)
    const second = await rig.mount(exampleStore, { args: NATIVE })
    expect(mountsBelow(rig.folder)).toHaveLength(1)
    expect(readdirSync(second.path)).toContain('host')
  })

  it('leaves a dead mount after kill -9, which umount removes', async () => {
    const mounted = await rig.mount(exampleStore, { args: NATIVE })
    const driver = driverOf(mounted.pid)!
    process.kill(mounted.pid, 'SIGKILL')
    await waitUntil(() => !isRunning(driver), 5_000, 'the end of the driver')
    expect((await rig.umount(mounted)).code).toBe(0)
    expect(mountsBelow(rig.folder)).toEqual([])
  })

  it('comes at once with a signal that arrives before the mount is there', async () => {
    const child = spawn(process.execPath, [join(repoDir, 'bin/pbsfs.js'), 'mount', '-f', ...NATIVE, exampleStore, rig.at('mnt')], {
      stdio: 'ignore',
      env: { ...process.env, ...rig.who.env },
    })
    const ended = new Promise((resolve) => child.on('close', (code, signal) => resolve(code ?? signal)))
    // Made right before the driver is told to mount.
    await waitUntil(() => existsSync(rig.at('mnt')), 20_000, 'the mountpoint')
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
    expect(rig.remains()).toEqual([])
  })

  it('leaves nothing when the library takes its process down', async () => {
    const mounted = await rig.mount(exampleStore, { args: NATIVE })
    process.kill(driverOf(mounted.pid)!, 'SIGSEGV')
    await waitUntil(() => rig.remains().length === 0, 10_000)
  })
})

describeWith({ ...NEEDS, golden: true }, 'keys through fuse-native', () => {
  it('open what is encrypted', async () => {
    const key = join(goldenDir()!, 'example/example.key')
    const { path } = await rig.mount(exampleStore, { args: [...NATIVE, '--keyfile', key] })
    const home = join(path, 'host/secret/latest/home.pxar')
    expect(await sh(`cd '${home}' && find . -type f | wc -l`)).toMatch(/^[1-9]/)
    expect((await readFile(join(home, 'anna/photos/sea.jpg'))).length).toBeGreaterThan(0)
  })
})

describeWith(NEEDS, 'fuse-native that cannot be used', () => {
  const hide = join(repoDir, 'test/support/hide-fuse-native.mjs')

  it.each([
    ['package', 'the package fuse-native is not there', '--include=optional'],
    ['libfuse', 'libfuse.so.2 is not there', 'apt install libfuse2'],
  ])('without the %s: says how to get it, exit code 6', async (what, message, remedy) => {
    const env = { NODE_OPTIONS: `--import ${hide}`, PBSFS_HIDE: what }
    const { code, err } = await rig.pbsfs(['mount', ...NATIVE, exampleStore, rig.at('mnt')], { env: { ...rig.who.env, ...env } })
    expect(err).toContain(message)
    expect(err).toContain(remedy)
    expect(code).toBe(6)
    expect(rig.remains()).toEqual([])
    expect(existsSync(rig.at('mnt'))).toBe(false)
  })

  it.each([
    ['a mountpoint that is not UTF-8', Buffer.from('mnt\xe9', 'latin1'), [], 6, 'UTF-8'],
    ['an option libfuse 2 does not know', 'mnt', ['-o', 'nosymfollow'], 2, 'nosymfollow'],
  ])('%s is refused', async (_name, name, args, expected, message) => {
    const mountpoint = Buffer.concat([Buffer.from(`${rig.folder}/`), Buffer.from(name)])
    const { code, err } = await rig.pbsfs(['mount', ...NATIVE, ...args, exampleStore, mountpoint])
    expect([code, err]).toEqual([expected, expect.stringContaining(message)])
    expect(rig.remains()).toEqual([])
  })

  it('what is wrong with the source is told as ever', async () => {
    const { code, err } = await rig.pbsfs(['mount', ...NATIVE, `${exampleStore}::host/nope`, rig.at('mnt')])
    expect([code, err]).toEqual([4, expect.stringContaining('no such group')])
    expect(rig.remains()).toEqual([])
  })
})

describeWith({ ...NEEDS, root: true, user: true }, 'fuse-native and other users', () => {
  it('an ordinary user mounts and leaves', async () => {
    await rig.cleanUp()
    rig = new MountRig({ uid: NOBODY })
    const mounted = await rig.mount(exampleStore, { args: NATIVE })
    expect(await runOk('cat', [join(mounted.path, ARCHIVE, 'etc/hostname')], rig.who)).not.toBe('')
    expect((await rig.umount(mounted)).code).toBe(0)
    expect(rig.remains()).toEqual([])
  })

  it('what fusermount objects to is told, with what to do', async () => {
    await rig.cleanUp()
    rig = new MountRig({ uid: NOBODY })
    mkdirSync(rig.at('mnt'))
    const { code, err } = await rig.pbsfs(['mount', ...NATIVE, exampleStore, rig.at('mnt')])
    expect([code, err]).toEqual([6, expect.stringMatching(/fusermount: .*(write access|not owned)/)])
    expect(err).toContain('choose a directory of your own')
    expect(rig.remains()).toEqual([])
  })

  it('others get in with allow_other only, and then permissions count', async () => {
    const closed = await rig.mount(exampleStore, { args: NATIVE })
    expect((await runProgram('ls', [closed.path], { uid: NOBODY })).code).not.toBe(0)
    const open = await rig.mount(exampleStore, { name: 'open', args: [...NATIVE, '-o', 'allow_other'] })
    expect(mountLine(open.path)).toMatch(/default_permissions,allow_other|allow_other,default_permissions/)
    expect(await runOk('cat', [join(open.path, ARCHIVE, 'etc/hosts')], { uid: NOBODY })).not.toBe('')
    const secret = await runProgram('cat', [join(open.path, 'host/web/latest/index.json')], { uid: NOBODY })
    expect([secret.code, secret.err]).toEqual([1, expect.stringContaining('Permission denied')])
  })
})

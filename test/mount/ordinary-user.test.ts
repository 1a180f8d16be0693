import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { exampleStore, repoDir } from '../support/golden.js'
import { isRunning, mountsBelow, MountRig, NOBODY, waitUntil } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { dir, encodeArchive, file } from '../support/pxar-encoder.js'
import { runOk, runProgram, sh } from '../support/run-program.js'

const WEB = 'host/web/2026-01-02T00:00:00Z/root.pxar'
const asRoot = process.geteuid?.() === 0

let rig: MountRig
beforeEach(() => {
  rig = new MountRig(asRoot ? { uid: NOBODY } : {})
})
afterEach(() => rig.cleanUp())

describeWith({ user: true, programs: { rsync: 'rsync', fusermount3: 'fuse3' } }, 'an ordinary user', () => {
  it('mounts, browses, copies and unmounts', async () => {
    const { path, pid, output } = await rig.mount(exampleStore)
    expect(output).toContain(`pbsfs umount ${path}`)
    if (asRoot) expect(statSync(`/proc/${pid}`).uid).toBe(NOBODY)
    const { who } = rig
    expect((await runOk('ls', [path], who)).split('\n')).toEqual(['host', 'ns', 'vm', ''])
    expect(await runOk('cat', [join(path, WEB, 'etc/hosts')], who)).toContain('localhost')
    // What belongs to root or to others and is closed to all: a backup is read by who may read the store.
    expect(await runOk('ls', [join(path, WEB, 'home/anna')], who)).toBe('letters\nphotos\n')
    await runOk('cp', ['-a', '--no-preserve=ownership', join(path, WEB, 'home'), rig.at('cp')], who)
    await runOk('diff', ['-r', join(path, WEB, 'home'), rig.at('cp')], who)
    await runOk('rsync', ['-rltHX', `${join(path, WEB, 'home')}/`, `${rig.at('rsync')}/`], who)
    expect(await runOk('rsync', ['-rltHX', '-n', '-i', `${join(path, WEB, 'home')}/`, `${rig.at('rsync')}/`], who)).toBe('')
    const [best, sea] = ['best', 'sea'].map((name) => statSync(rig.at(`rsync/anna/photos/${name}.jpg`)).ino)
    expect(best).toBe(sea)
    const status = JSON.parse((await rig.pbsfs(['status', '--json'])).out) as { mounts: { mountpoint: string; state: string }[] }
    expect(status.mounts.find(({ mountpoint }) => mountpoint === path)?.state).toBe('running')
    const { code, out, err } = await rig.umount({ path })
    expect([code, out, err]).toEqual([0, `unmounted ${path}\n`, ''])
    expect([rig.remains(), readdirSync(rig.folder).includes('mnt')]).toEqual([[], false])
  })

  it('signals, kill -9 and `fusermount3 -u` end it as they do for root', async () => {
    const first = await rig.mountForeground(exampleStore)
    first.kill('SIGTERM')
    expect([await first.ended, mountsBelow(rig.folder)]).toEqual([0, []])

    const second = await rig.mount(exampleStore)
    process.kill(second.pid, 'SIGKILL')
    await waitUntil(() => !isRunning(second.pid), 5_000)
    const third = await rig.mount(exampleStore)
    expect(await runOk('cat', [join(third.path, WEB, 'etc/hosts')], rig.who)).toContain('localhost')

    await runOk('fusermount3', ['-u', third.path], rig.who)
    await waitUntil(() => rig.remains().length === 0, 10_000, 'the end of the mount')
    expect(mountsBelow(rig.folder)).toEqual([])
  })

  it('reads root’s closed files in an archive, and nobody else does', async () => {
    writeFileSync(rig.at('tree.pxar'), encodeArchive(dir('', [file('closed', 'closed\n', { perm: 0o600 })])).meta)
    chmodSync(rig.at('tree.pxar'), 0o644)
    const { path } = await rig.mount(rig.at('tree.pxar'))
    expect(await runOk('cat', [join(path, 'closed')], rig.who)).toBe('closed\n')
    // Even root is kept out of a mount of another user.
    if (asRoot) expect((await runProgram('ls', [path])).code).not.toBe(0)
  })

  it('a mountpoint that is not theirs is refused in a sentence', async () => {
    const { code, err } = await rig.pbsfs(['mount', exampleStore, '/root-only-folder'])
    expect([code, err]).toEqual([2, expect.stringMatching(/cannot be made \(E(ACCES|ROFS|PERM)\)/)])
  })
})

describeWith({ user: true, root: true }, 'an ordinary user without rights', () => {
  it('a store that may not be read, or whose chunks may not: a sentence that names the group', async () => {
    await sh(`cp -r ${exampleStore} ${rig.at('store')}`)
    for (const path of ['store', 'store/.chunks']) {
      chownSync(rig.at(path), 34, 34)
      chmodSync(rig.at(path), 0o750)
    }
    const closed = await rig.pbsfs(['mount', rig.at('store'), rig.at('mnt')])
    expect([closed.code, closed.err]).toEqual([4, expect.stringMatching(/EACCES|permission/i)])
    chmodSync(rig.at('store'), 0o755)
    const chunks = await rig.pbsfs(['mount', rig.at('store'), rig.at('mnt')])
    expect([chunks.code, chunks.err]).toEqual([4, expect.stringMatching(/group "backup"[^]*--force/)])
    // Names can still be seen; contents cannot, and `status` says why.
    const { path } = await rig.mount(rig.at('store'), { args: ['--force'] })
    expect(await runOk('ls', [path], rig.who)).toBe('host\nns\nvm\n')
    const read = await runProgram('cat', [join(path, 'vm/100/latest/drive-scsi0.img')], rig.who)
    expect([read.code, read.err]).toEqual([1, expect.stringMatching(/Permission denied|Input\/output error/)])
    expect(await runOk('cat', [join(path, '.pbsfs/status')], rig.who)).toContain('backup')
  })

  it('without /dev/fuse, or the right to use it: exit code 6 and the remedy', async () => {
    mkdirSync(rig.at('dev'))
    for (const [name, minor] of [['null', '3'], ['urandom', '9']] as const) await runOk('mknod', ['-m', '666', rig.at('dev', name), 'c', '1', minor]) // prettier-ignore
    // In a mount namespace of its own, with a /dev of its own.
    const line = 'mount --bind "$0" /dev && exec setpriv --reuid "$1" --regid "$1" --clear-groups "$2" "$3" mount "$4" "$5"'
    const mountAs = (uid: number) =>
      runProgram(
        'unshare',
        ['--mount', '--propagation', 'private', '/bin/sh', '-c', line, rig.at('dev'), String(uid), process.execPath, join(repoDir, 'bin/pbsfs.js'), exampleStore, rig.at('mnt')],
        { env: rig.who.env! },
      )
    const missing = await mountAs(NOBODY)
    expect([missing.code, missing.err]).toEqual([6, expect.stringMatching(/\/dev\/fuse is not there[^]*modprobe fuse/)])
    await runOk('mknod', ['-m', '600', rig.at('dev/fuse'), 'c', '10', '229'])
    const closed = await mountAs(NOBODY)
    expect([closed.code, closed.err]).toEqual([6, expect.stringMatching(/may not be used by this user[^]*chmod 666/)])
  })
})

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { exampleStore, repoDir } from '../support/golden.js'
import { mountsBelow, MountRig, waitUntil } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { runOk, runProgram, type RunOptions } from '../support/run-program.js'

let rig: MountRig
let withPbsfs: RunOptions
beforeEach(() => {
  rig = new MountRig()
  mkdirSync(rig.at('bin'))
  // Where node is not in /usr/bin, `env` would not find it without a PATH.
  const launcher = `#!/bin/sh\nexec ${process.execPath} ${join(repoDir, 'bin/pbsfs.js')} "$@"\n`
  writeFileSync(rig.at('bin/pbsfs'), launcher, { mode: 0o755 })
  mkdirSync(rig.at('mnt'))
  withPbsfs = { env: { PATH: `${rig.at('bin')}:${process.env['PATH'] ?? ''}` } }
})
afterEach(() => rig.cleanUp())

describeWith({ fuse: true, root: true, programs: { 'mount.fuse3': 'fuse3' } }, 'mount(8), as it reads /etc/fstab', () => {
  /** mount(8) hands no PATH on, so a program outside the system's folders is named in full. */
  const type = () => `fuse.${rig.at('bin/pbsfs')}`

  it('mount.fuse3 finds pbsfs in PATH; umount(8) ends the mount', async () => {
    await runOk('mount.fuse3', [exampleStore, rig.at('mnt'), '-t', 'fuse.pbsfs', '-o', 'ro'], withPbsfs)
    expect(readdirSync(rig.at('mnt'))).toEqual(['host', 'ns', 'vm'])
    const [pid] = rig.daemonPids()
    rig.watch(pid!)
    await runOk('umount', [rig.at('mnt')])
    await waitUntil(() => rig.remains().length === 0, 10_000, 'the end of the mount')
  })

  it('takes selectors, options of mount(8) and of our own', async () => {
    const options = 'ro,nosuid,nodev,noexec,allow_other,nofail,_netdev,x-systemd.automount,uid=61001,cache-size=64M'
    const source = `${exampleStore}::host/web/latest/root.pxar`
    await runOk('mount', ['-t', type(), source, rig.at('mnt'), '-o', options])
    expect(await runOk('stat', ['-c', '%u', rig.at('mnt/etc/hosts')])).toBe('61001\n')
    const status = JSON.parse(readFileSync(rig.at('mnt/.pbsfs/status'), 'utf8')) as { cache: { limitBytes: number } }
    expect(status.cache.limitBytes).toBe(64 << 20)
    const line = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').find((text) => text.includes(` ${rig.at('mnt')} `))! // prettier-ignore
    expect(line.split(' ')[5]!.split(',')).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev', 'noexec']))
  })

  it('a line of /etc/fstab: mount MOUNTPOINT', async () => {
    const table = rig.at('fstab')
    await runOk('/bin/sh', ['-c', `printf '%s %s %s ro,noauto 0 0\\n' "$0" "$1" "$2" > "$3"`, exampleStore, rig.at('mnt'), type(), table])
    await runOk('mount', ['--fstab', table, rig.at('mnt')])
    expect(readdirSync(rig.at('mnt'))).toEqual(['host', 'ns', 'vm'])
  })

  it('what is wrong is said, and mount(8) fails', async () => {
    const { code, err } = await runProgram('mount', ['-t', type(), rig.at('none'), rig.at('mnt'), '-o', 'ro'])
    expect(code).not.toBe(0)
    expect(err).toContain('no such file or directory')
    expect(mountsBelow(rig.folder)).toEqual([])
  })
})

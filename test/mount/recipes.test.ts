import { closeSync, cpSync, existsSync, lstatSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { bootSector, sectorOf, textSector } from '../support/boot-sector.js'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { exampleStore, repoDir } from '../support/golden.js'
import { MountRig } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { runOk, runProgram } from '../support/run-program.js'

const section = readFileSync(join(repoDir, 'README.md'), 'utf8').split('\n## Recipes\n')[1]!.split('\n## ')[0]!
const recipes = new Map([...section.matchAll(/^\| (.+?) \| `(.+)` \|$/gm)].map((match) => [match[1]!, match[2]!]))

describeWith({ root: true, fuse: true, programs: { rsync: 'rsync', tar: 'tar', 'qemu-img': 'qemu-utils', 'qemu-system-x86_64': 'qemu-system-x86' } }, 'recipes of README.md', () => {
  let rig: MountRig
  const at = (...names: string[]) => rig.at('root', ...names)
  const web = (path: string) => readFileSync(at('expected', path))

  beforeAll(async () => {
    rig = new MountRig()
    cpSync(exampleStore, at('store'), { recursive: true })
    const machine = new DatastoreWriter(at('store')).snapshot({ type: 'vm', id: '105' }, '2026-01-05T00:00:00Z')
    machine.addImage('drive-scsi0.img.fidx', Buffer.concat([bootSector('reset'), textSector(0)], 65536))
    machine.addImage('drive-scsi1.img.fidx', Buffer.concat([sectorOf('second disk\r\n')], 65536))
    machine.addBlob('qemu-server.conf.blob', Buffer.from('memory: 64\nscsi0: a:b\nscsi1: a:c\n'))
    machine.finish()
    for (const folder of ['bin', 'mnt', 'usb', 'etc/nginx', 'home', 'srv', 'tmp']) mkdirSync(at(folder), { recursive: true })
    writeFileSync(at('bin/pbsfs'), `#!/bin/sh\nexec '${process.execPath}' '${join(repoDir, 'bin/pbsfs.js')}' "$@"\n`, { mode: 0o755 })
    // In the place of ssh: the other host is this one.
    writeFileSync(at('bin/other-host'), '#!/bin/sh\nwhile [ "$1" != other ]; do shift; done\nshift\nexec "$@"\n', { mode: 0o755 })
    await runOk(at('bin/pbsfs'), ['restore', `${at('store')}::host/web/latest/root.pxar`, at('expected')], rig.who)
    await repairDisk()
  })
  afterAll(() => rig.cleanUp())

  /** What was done before somebody comes to the recipe for it. */
  async function repairDisk(): Promise<void> {
    const folder = at('repair')
    await runOk(at('bin/pbsfs'), ['mount', at('store'), folder, '--overlay', at('tmp/o')], rig.who)
    const disk = openSync(join(folder, 'vm/100/2026-01-05T00:00:00Z/drive-scsi0.img'), 'r+')
    writeSync(disk, 'repaired', 4096)
    closeSync(disk)
    await runOk(at('bin/pbsfs'), ['umount', folder], rig.who)
  }

  /** Runs a recipe as it stands there, with the places of this test. */
  async function cook(line: string) {
    const places: readonly (readonly [RegExp, string])[] = [
      [/(?<=root@other:)\/srv/g, at('srv')],
      [/(?<= )\/root\//g, at('home/')],
      [/(?<= )\/etc\/nginx/g, at('etc/nginx')],
      [/(?<= )\/mnt\b/g, at('mnt')],
      [/(?<= )\/dev\/pve\/vm-100-disk-0/g, at('disk')],
      [/(?<= )\/media\/usb/g, at('usb')],
      [/(?<= )\/var\/tmp/g, at('tmp')],
      // The example has no container: the backup of a host is the same kind of archive.
      [/\bct\/101\b/g, 'host/web'],
      // The example has no machine that starts.
      [/\bvm\/100(?=\S* --run)/g, 'vm/105'],
      [/(?<= )--run\b/g, '--run -- -accel tcg -no-reboot'],
      [/\bSTORE\b/g, at('store')],
      [/~/g, at()],
    ]
    const own = places.reduce((text, [place, here]) => text.replaceAll(place, here), line)
    const env = { ...rig.who.env, HOME: at(), PATH: `${at('bin')}:${process.env['PATH']}`, RSYNC_RSH: at('bin/other-host') }
    return runProgram('/bin/bash', ['-c', `set -o pipefail; ${own}`], { env })
  }

  const results: Readonly<Record<string, () => void | Promise<void>>> = {
    'one file': () => expect(readFileSync(at('home/hosts'))).toEqual(web('etc/hosts')),
    'a folder, in its place': async () => {
      expect(await runOk('rsync', ['-naHAXic', '--delete', `${at('expected/etc/nginx')}/`, `${at('etc/nginx')}/`])).toBe('')
    },
    'a file whose snapshot you do not know': () => undefined,
    'a whole container, or host': async () => {
      expect(await runOk('rsync', ['-naHAXic', '--delete', `${at('expected')}/`, `${at('mnt/ct101')}/`])).toBe('')
    },
    'one file out of a VM': () => expect(lstatSync(at('home/motd')).size).toBe(7),
    "a VM's disk, to a volume or file": () => expect(statSync(at('disk')).size).toBeGreaterThan(2 ** 20),
    'a VM, running from its backup in seconds': () => undefined,
    "a VM's disk, as QCOW2": async () => {
      expect(await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', at('disk'), at('tmp/disk.qcow2')])).toContain('Images are identical')
    },
    "a VM's disk as you repaired it, from a mount with `--overlay /var/tmp/o`": async () => {
      await runOk('qemu-img', ['convert', '-O', 'raw', at('tmp/repaired.qcow2'), at('tmp/repaired')])
      expect(readFileSync(at('tmp/repaired')).toString('latin1', 4096, 4104)).toBe('repaired')
    },
    'a backup to a USB disk of any kind': async () => {
      mkdirSync(at('unpacked'))
      const unpack = /unpack with `(.*?) web\.tar`/.exec(section)![1]!.replaceAll("'", '').split(' ')
      await runOk(unpack[0]!, [...unpack.slice(1), at('usb/web.tar'), '-C', at('unpacked')])
      expect(await runOk('rsync', ['-naHAXic', '--delete', `${at('expected')}/`, `${at('unpacked')}/`])).toBe('')
    },
    'a backup to another host': async () => {
      expect(await runOk('rsync', ['-naHAXic', '--delete', `${at('expected')}/`, `${at('srv/web')}/`])).toBe('')
    },
  }

  it('every recipe has a result that is looked at', () => {
    expect([...recipes.keys()]).toEqual(Object.keys(results))
  })

  it.each([...recipes])('%s', async (name, line) => {
    const { code, out, err } = await cook(line)
    if (line.includes('pbsfs boot')) expect([code, out]).toEqual([0, expect.stringMatching(/^run 0\r\nsecond disk\r$/m)])
    else expect([code, err]).toEqual([0, line.includes('overlay commit') ? expect.stringContaining('overlay drop removes it') : ''])
    if (line.includes('pbsfs find')) expect(out).toMatch(/\/etc\/hosts$/m)
    await results[name]!()
    // What was mounted is gone.
    expect(existsSync(at('pbs'))).toBe(false)
  })
})

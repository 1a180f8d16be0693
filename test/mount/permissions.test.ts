import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { exampleStore } from '../support/golden.js'
import { MountRig, NOBODY } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { dir, encodeArchive, file, symlink } from '../support/pxar-encoder.js'
import { runProgram, sh } from '../support/run-program.js'

/** Ids that no account has. */
const ANNA = 61001
const STAFF = 61002
const READ = 4
const READ_ENTER = 5

let rig: MountRig
beforeEach(() => {
  rig = new MountRig()
  const nobodyMayRead = { aclUsers: [[NOBODY, READ]], aclGroupObj: 0 } as const
  const tree = dir('', [
    file('open', 'open\n', { perm: 0o644 }),
    file('secret', 'secret\n', { perm: 0o600 }),
    file('group', 'group\n', { perm: 0o640, gid: STAFF }),
    file('anna', 'anna\n', { perm: 0o600, uid: ANNA, gid: ANNA }),
    // The group bits of a mode with an ACL are its mask.
    file('acl', 'acl\n', { perm: 0o640, ...nobodyMayRead }),
    file('masked', 'masked\n', { perm: 0o600, ...nobodyMayRead }),
    dir('closed', [file('inside', 'inside\n')], { perm: 0o700 }),
    dir('acl-dir', [file('inside', 'inside\n')], { perm: 0o750, aclUsers: [[NOBODY, READ_ENTER]], aclGroupObj: 0 }),
    file('tool', '#!/bin/sh\nid -u\n', { perm: 0o4755 }),
    symlink('link', 'secret'),
  ])
  writeFileSync(rig.at('tree.pxar'), encodeArchive(tree).meta)
})
afterEach(() => rig.cleanUp())

/** What a user gets of a file: its content, or what the error is called. */
async function read(path: string, uid: number): Promise<string> {
  const { out, err } = await runProgram('cat', [path], { uid })
  return out === '' ? (/: ([^:]+)\n$/.exec(err)?.[1] ?? err) : out.trimEnd()
}

const DENIED = 'Permission denied'

describeWith({ fuse: true, root: true }, 'who may read', () => {
  it('a private mount is its owner’s alone, who sees everything', async () => {
    const { path } = await rig.mount(rig.at('tree.pxar'))
    for (const name of ['open', 'secret', 'anna', 'acl', 'masked']) expect(await read(join(path, name), 0)).toBe(name)
    expect(await read(join(path, 'closed/inside'), 0)).toBe('inside')
    expect(await read(join(path, 'open'), NOBODY)).toBe(DENIED)
    expect((await runProgram('ls', [path], { uid: NOBODY })).code).not.toBe(0)
  })

  it('allow_other: modes and ACLs hold for everybody', async () => {
    const { path } = await rig.mount(rig.at('tree.pxar'), { args: ['-o', 'allow_other'] })
    const names = ['open', 'secret', 'group', 'anna', 'acl', 'masked', 'closed/inside', 'acl-dir/inside', 'link']
    const seenBy = async (uid: number): Promise<Record<string, string>> =>
      Object.fromEntries(await Promise.all(names.map(async (name) => [name, await read(join(path, name), uid)] as const)))
    const closed = { open: 'open', secret: DENIED, group: DENIED, masked: DENIED, 'closed/inside': DENIED, link: DENIED }
    expect(await seenBy(NOBODY)).toEqual({ ...closed, anna: DENIED, acl: 'acl', 'acl-dir/inside': 'inside' })
    expect(await seenBy(ANNA)).toEqual({ ...closed, anna: 'anna', acl: DENIED, 'acl-dir/inside': DENIED })
    expect(await seenBy(STAFF)).toEqual({ ...closed, group: 'group', anna: DENIED, acl: DENIED, 'acl-dir/inside': DENIED })
    expect(await read(join(path, 'secret'), 0)).toBe('secret')
  })

  it('allow_other: images and blobs of a store stay the owner’s', async () => {
    const { path } = await rig.mount(exampleStore, { args: ['-o', 'allow_other'] })
    expect((await runProgram('ls', [join(path, 'vm/100/latest')], { uid: NOBODY })).out).toContain('drive-scsi0.img')
    for (const name of ['drive-scsi0.img', 'qemu-server.conf', 'index.json']) {
      expect(await read(join(path, 'vm/100/latest', name), NOBODY)).toBe(DENIED)
    }
    expect(await read(join(path, 'host/web/latest/root.pxar/etc/hostname'), NOBODY)).not.toBe(DENIED)
    expect(await read(join(path, 'host/web/latest/root.pxar/home/anna/photos/sea.jpg'), NOBODY)).toBe(DENIED)
  })

  it('a set-user-id program of the backup gets nobody root', async () => {
    const { path } = await rig.mount(rig.at('tree.pxar'), { args: ['-o', 'allow_other'] })
    expect(statSync(join(path, 'tool')).mode & 0o7777).toBe(0o4755)
    const copy = await rig.mount(rig.at('tree.pxar'), { name: 'noexec', args: ['-o', 'allow_other,noexec'] })
    expect((await sh(join(path, 'tool'), { uid: NOBODY })).trim()).toBe(String(NOBODY))
    expect((await runProgram('/bin/sh', ['-c', join(copy.path, 'tool')])).code).toBe(126)
  })

  it('uid, gid and umask change what is shown, and with it who may read', async () => {
    const { path } = await rig.mount(rig.at('tree.pxar'), { args: ['-o', `allow_other,uid=${ANNA},gid=${STAFF},umask=027`] })
    const shown = await sh("find . -printf '%P %m %U %G\\n' | LC_ALL=C sort", { cwd: path })
    const lines = shown.trimEnd().split('\n')
    for (const line of lines) expect(line).toMatch(new RegExp(` ${ANNA} ${STAFF}$`))
    const modes = new Map(lines.map((line) => line.split(' ').slice(0, 2) as [string, string]))
    // As everywhere in FUSE: umask says all that the modes are.
    expect(['open', 'secret', 'closed'].map((name) => modes.get(name))).toEqual(['750', '750', '750'])
    expect(await read(join(path, 'secret'), ANNA)).toBe('secret')
    expect(await read(join(path, 'closed/inside'), ANNA)).toBe('inside')
    expect(await read(join(path, 'open'), NOBODY)).toBe(DENIED)
    // An ACL of the backup does not reopen what the umask closes.
    expect(await read(join(path, 'acl'), NOBODY)).toBe(DENIED)
  })

  it('wrong options are named', async () => {
    for (const [option, sentence] of [
      ['nonsense', /Unknown mount option "nonsense"/],
      ['uid=x', /"uid" needs a number/],
      ['umask=9', /"umask" needs an octal number/],
    ] as const) {
      const { code, err } = await rig.pbsfs(['mount', '-o', option, rig.at('tree.pxar'), rig.at('mnt')])
      expect([code, err]).toEqual([2, expect.stringMatching(sentence)])
    }
  })
})

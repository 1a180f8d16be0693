import { closeSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { mountFuse, unmount } from '#src/fuse/mount.js'
import { findMountAt } from '#src/fuse/mountinfo.js'
import { parseMountOptions } from '#src/fuse/mount-options.js'
import { FuseSession, type SessionEnd } from '#src/fuse/session.js'
import { dir, FakeTree, file, type FakeNode } from '../support/fake-tree.js'
import { hasProgram, MountedChild, NOBODY, noFuseReason, run, sh } from '../support/mounting.js'

const reason = noFuseReason()
const asRoot = process.geteuid?.() === 0

const folders: string[] = []
const mounts: Buffer[] = []
afterEach(async () => {
  for (const path of mounts.splice(0)) {
    while (findMountAt(path) !== undefined) await unmount(path, { lazy: true })
  }
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'pbsfs-mount-'))
  folders.push(folder)
  return folder
}

/** A session in this process; programs must be waited for without blocking it. */
async function serve(path: Buffer, root: FakeNode, words: string[] = []): Promise<{ end: Promise<SessionEnd> }> {
  mounts.push(path)
  const { fd } = await mountFuse({ mountpoint: path, source: 'source, 1', options: parseMountOptions(words) })
  const end = new FuseSession({ fd, tree: new FakeTree(root) }).run().finally(() => closeSync(fd))
  return { end }
}

describe.skipIf(reason !== undefined || !asRoot)('mount(2)', () => {
  it('takes a mountpoint of any bytes', async () => {
    const path = Buffer.concat([Buffer.from(makeFolder()), Buffer.from('/a \xe9\n\\', 'latin1')])
    mkdirSync(path)
    const { end } = await serve(path, dir({ x: file('inside\n') }))
    expect(findMountAt(path)?.source.toString()).toBe('source, 1')
    expect(await sh(`cat ${path.subarray(0, path.lastIndexOf('/')).toString()}/*/x`)).toBe('inside\n')
    await unmount(path)
    expect(await end).toBe('unmounted')
  })

  it('shows one file on a file', async () => {
    const image = join(makeFolder(), 'image')
    writeFileSync(image, 'below')
    const { end } = await serve(Buffer.from(image), file('the image'), ['fsname=other'])
    expect(await sh(`cat ${image}`)).toBe('the image')
    expect(findMountAt(Buffer.from(image))?.source.toString()).toBe('other')
    await unmount(Buffer.from(image))
    expect(await end).toBe('unmounted')
    expect(await sh(`cat ${image}`)).toBe('below')
  })

  it('serves a channel that someone else mounted', async () => {
    const path = makeFolder()
    mounts.push(Buffer.from(path))
    const { fd } = await mountFuse({ mountpoint: Buffer.from(path), source: 'x' })
    const child = MountedChild.adopt(fd, path)
    try {
      closeSync(fd)
      await child.waitFor(/^ready inherited\n/m)
      expect(await sh(`cat ${path}/hello.txt`)).toBe('hello world\n')
      await unmount(Buffer.from(path))
      await child.waitFor(/^end unmounted\n/m)
    } finally {
      await child.cleanUp()
    }
  })
})

/** What `mountFuse` says in another process, started by `wrapper`. */
async function complaint(wrapper: string[], path: string): Promise<string> {
  const module = new URL('../../dist/fuse/mount.js', import.meta.url).href
  const script = `import('${module}').then((m) => m.mountFuse({ mountpoint: Buffer.from('${path}'), source: 'x' }))
    .then(() => console.log('mounted'), (e) => console.log(e.name + ': ' + e.message))`
  return (await run('env', [...wrapper, process.execPath, '-e', script])).trimEnd()
}

const canSwitch = asRoot && hasProgram('setpriv') && hasProgram('unshare')
if (asRoot && !canSwitch) console.log('messages of mount: skipped: setpriv or unshare is missing (package util-linux)')

describe.skipIf(reason !== undefined || !canSwitch)('what is missing is said with its remedy', () => {
  const nobody = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups']

  it('no right to mount', async () => {
    const wrapper = ['setpriv', '--bounding-set', '-sys_admin', '--inh-caps', '-sys_admin']
    expect(await complaint(wrapper, makeFolder())).toMatch(/^MountError: Cannot mount on .*: EPERM. Please in a container.*CAP_SYS_ADMIN/)
  })

  it('no fusermount3', async () => {
    const hidden = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', 'env', 'PATH=/nonexistent']
    expect(await complaint(hidden, makeFolder())).toMatch(/^MountError: The program fusermount3 is missing.*install the package fuse3/)
  })

  it('a directory of someone else', async () => {
    expect(await complaint(nobody, makeFolder())).toMatch(/^MountError: Cannot mount on .*(no write access|Permission denied)/)
  })

  it('no /dev/fuse', async () => {
    const wrapper = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /dev && exec "$@"', 'sh']
    expect(await complaint(wrapper, makeFolder())).toBe(
      'MountError: /dev/fuse cannot be opened (ENOENT). Please load the module with "modprobe fuse", or give the container --device /dev/fuse.',
    )
    expect(await complaint([...wrapper, ...nobody], makeFolder())).toMatch(/modprobe fuse/)
  })

  it('a /dev/fuse that is closed to users', async () => {
    const hide = 'mknod -m 600 /run/pbsfs-test-fuse c 10 229; mount --bind /run/pbsfs-test-fuse /dev/fuse && rm /run/pbsfs-test-fuse; exec "$@"'
    const folder = makeFolder()
    await sh(`chown ${NOBODY} ${folder}`)
    expect(await complaint(['unshare', '--mount', 'sh', '-c', hide, 'sh', ...nobody], folder)).toMatch(/chmod 666 \/dev\/fuse/)
  })
})

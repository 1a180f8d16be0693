import { existsSync, lstatSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { exampleStore, goldenDir } from '../support/golden.js'
import { MountRig, type Mounted } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { dir, encodeArchive, file, hardlink, type SourceNode } from '../support/pxar-encoder.js'
import { quote, runOk, runProgram, sh } from '../support/run-program.js'

const golden = goldenDir() ?? ''
const WEB = 'host/web/2026-01-01T00:00:00Z/root.pxar'
/** One chunk of the image in it holds nothing but zeros. */
const HOLE_BYTES = 4 << 20

/** Everything of an entry but its content, one line each; of directories neither size nor link count, which are the file system's own. */
const LISTING =
  "find . -mindepth 1 -type d -printf '%P d %m %U:%G %T@\\n' -o -printf '%P %y %m %U:%G %T@ %s %n %l\\n' | LC_ALL=C sort"

let rig: MountRig
beforeAll(() => {
  rig = new MountRig()
})
afterAll(() => rig.cleanUp())

/** Lines of one tree that the other lacks, marked with < and >. */
async function compareTrees(one: string, other: string): Promise<string[]> {
  const [a, b] = await Promise.all([one, other].map(async (folder) => new Set((await sh(LISTING, { cwd: folder })).split('\n'))))
  expect(a!.size).toBeGreaterThan(20)
  return [...[...a!].filter((line) => !b!.has(line)).map((line) => `< ${line}`), ...[...b!].filter((line) => !a!.has(line)).map((line) => `> ${line}`)]
}

describeWith(
  { fuse: true, root: true, programs: { rsync: 'rsync', getfattr: 'attr', getfacl: 'acl', tar: 'tar', gio: 'libglib2.0-bin', diff: 'diffutils' } },
  'everyday programs on the example store',
  () => {
    let web: string
    let example: Mounted
    beforeAll(async () => {
      example = await rig.mount(exampleStore, { name: 'example' })
      web = join(example.path, WEB)
    })

    it('cp -a makes an equal tree', async () => {
      await runOk('cp', ['-a', web, rig.at('cp')])
      await runOk('diff', ['-r', '--no-dereference', join(web, 'etc'), rig.at('cp/etc')])
      expect(await compareTrees(rig.at('cp'), web)).toEqual([])
      expect(readFileSync(rig.at('cp/var/log/access.log')).equals(readFileSync(join(web, 'var/log/access.log')))).toBe(true)
    })

    it('rsync -aHAX makes an equal tree, and then finds nothing to do', async () => {
      await runOk('rsync', ['-aHAX', `${web}/`, `${rig.at('rsync')}/`])
      expect(await compareTrees(rig.at('rsync'), web)).toEqual([])
      expect(await runOk('rsync', ['-aHAX', '-n', '-i', '--checksum', `${web}/`, `${rig.at('rsync')}/`])).toBe('')
    })

    it('tar --acls --xattrs --sparse goes there and back', async () => {
      mkdirSync(rig.at('tar'))
      const tar = "tar --acls --xattrs --xattrs-include='*'"
      await sh(`${tar} --sparse -cf ${quote(rig.at('web.tar'))} .`, { cwd: web })
      await sh(`${tar} -xpf ${quote(rig.at('web.tar'))}`, { cwd: rig.at('tar') })
      expect(await compareTrees(rig.at('tar'), web)).toEqual([])
    })

    it('tar --sparse leaves out the holes of an image', async () => {
      const image = join(example.path, 'vm/100/latest/drive-scsi0.img')
      await runOk('tar', ['--sparse', '-cf', rig.at('image.tar'), '-C', join(example.path, 'vm/100/latest'), 'drive-scsi0.img'])
      expect(statSync(rig.at('image.tar')).size).toBeLessThan(statSync(image).size - HOLE_BYTES + (64 << 10))
      await runOk('tar', ['-xf', rig.at('image.tar'), '-C', rig.folder])
      await runOk('cmp', [image, rig.at('drive-scsi0.img')])
    })

    it('hard links are one file with two names', async () => {
      const [best, sea] = ['best', 'sea'].map((name) => lstatSync(join(web, `home/anna/photos/${name}.jpg`), { bigint: true }))
      expect([best!.ino, best!.nlink]).toEqual([sea!.ino, 2n])
      expect(lstatSync(join(web, 'srv/ping')).nlink).toBe(1)
    })

    it('getfattr and getfacl show what was backed up', async () => {
      const all = await sh('getfattr -R -d -m - --absolute-names . ; getfacl -R -p -n -s .', { cwd: web })
      const copied = await sh('getfattr -R -d -m - --absolute-names . ; getfacl -R -p -n -s .', { cwd: rig.at('cp') })
      expect(all).toMatch(/security\.capability=|system\.posix_acl|user:\d+:/)
      expect(all.split('\n').sort()).toEqual(copied.split('\n').sort())
    })

    it('find, du and df work on the whole mount', async () => {
      const { code, out, err } = await runProgram('find', [example.path, '-ls'])
      expect(out.split('\n').length).toBeGreaterThan(90)
      // The one thing that cannot be entered is the encrypted archive.
      expect([code, err.trim().split('\n').length]).toEqual([1, 1])
      expect(err).toContain('home.pxar')
      expect(Number((await runOk('du', ['-s', '--apparent-size', '-B1', web])).split('\t')[0])).toBeGreaterThan(3_300_000)
      const [, line] = (await runOk('df', ['--output=source,fstype,target', example.path])).trim().split('\n')
      expect(line!.split(/\s+/)).toEqual([exampleStore, 'fuse.pbsfs', example.path])
    })

    it('nothing can be written', async () => {
      const said = await sh(`touch new; rm etc/hosts; echo x >> etc/hosts; mkdir d; chmod 0 etc; ln etc/hosts h; true`, { cwd: web })
      expect(said).toBe('')
      for (const line of ['touch new', 'rm etc/hosts', 'echo x >> etc/hosts', 'mkdir d', 'chmod 0 etc', 'mv etc e', 'setfattr -n user.x -v 1 etc']) {
        const { code, err } = await runProgram('/bin/bash', ['-c', line], { cwd: web })
        expect([line, code]).toEqual([line, 1])
        expect(err).toMatch(/Read-only file system/)
      }
    })

    it('gio lists, describes and copies', async () => {
      const env = { DBUS_SESSION_BUS_ADDRESS: 'disabled:', GIO_USE_VFS: 'local', HOME: rig.folder }
      expect((await runOk('gio', ['list', '-h', join(example.path, 'host/web')], { env })).split('\n')).toContain('latest')
      expect((await runOk('gio', ['list', '-l', web], { env })).trim().split('\n').length).toBe(5)
      const info = await runOk('gio', ['info', join(web, 'var/log/access.log')], { env })
      expect(info).toMatch(/standard::size: 117794\b/)
      expect(info).toMatch(/access::can-write: FALSE/)
      await runOk('gio', ['copy', join(web, 'var/log/access.log'), rig.at('access.log')], { env })
      expect(readFileSync(rig.at('access.log')).equals(readFileSync(join(web, 'var/log/access.log')))).toBe(true)
    })

    it('what file managers and shells look for is not there, at once', () => {
      const probes = [
        '.hidden', '.Trash', '.Trash-1000', '.Trash-1000/files', 'autorun.inf', 'autorun', '.autorun', '.directory', '.git',
        '.git/HEAD', '.xdg-volume-info', '.thumbnails', '.sh_thumbnails', '.DS_Store', '._.', 'desktop.ini', 'Thumbs.db', '.nomedia',
        '.pbsfs/none', '.pbsfs2', 'BDMV', 'VIDEO_TS', 'DCIM', 'lost+found', '.cache', '.fuse_hidden', '\u00e4', 'x'.repeat(255),
      ] // prettier-ignore
      const folders = ['', 'host', 'host/web', 'host/web/latest', WEB, `${WEB}/etc`, 'vm/100', 'vm/100/latest', 'ns', 'ns/offsite']
      const start = performance.now()
      for (let round = 0; round < 5; round++) {
        for (const folder of folders) {
          for (const probe of probes) {
            const path = join(example.path, folder, probe)
            expect([path, statSync(path, { throwIfNoEntry: false })]).toEqual([path, undefined])
          }
        }
      }
      const each = (performance.now() - start) / (5 * folders.length * probes.length)
      expect(each).toBeLessThan(5)
    })

    it('.pbsfs can be entered and is not listed', async () => {
      expect(await runOk('ls', ['-A', example.path])).toBe('host\nns\nvm\n')
      const folder = join(example.path, '.pbsfs')
      expect((await runOk('ls', ['-A', folder])).split('\n')).toEqual(['errors', 'status', ''])
      for (let i = 0; i < 20; i++) {
        const status = JSON.parse(await runOk('cat', [join(folder, 'status')])) as { cache: { limitBytes: number } }
        expect(status.cache.limitBytes).toBe(256 << 20)
      }
    })

    it('the mount is read-only, without set-user-id and devices', () => {
      const line = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').find((text) => text.includes(` ${example.path} `))! // prettier-ignore
      expect(line.split(' ')[5]!.split(',')).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev']))
    })
  },
)

describeWith(
  { fuse: true, root: true, golden: true, programs: { python3: 'python3', zstd: 'zstd', rsync: 'rsync', tar: 'tar', attr: 'attr', getfacl: 'acl' } },
  'copies of a tree with everything in it equal what was backed up',
  () => {
    let tree: string
    beforeAll(async () => {
      const { path } = await rig.mount(join(golden, 'store::host/signed/latest'), { name: 'signed' })
      tree = join(path, 'root.pxar')
    })
    const ways: [name: string, line: (to: string) => string][] = [
      ['cp -a', (to) => `cp -a . ${to}`],
      ['rsync -aHAXS', (to) => `rsync -aHAXS ./ ${to}/`],
      ['tar', (to) => `tar --acls --xattrs --xattrs-include='*' --sparse -cf - . | tar -C ${to} --acls --xattrs --xattrs-include='*' -xpf -`],
    ]
    it.each(ways)('%s', async (name, line) => {
      const to = rig.at(`full-${name.slice(0, 2)}`)
      mkdirSync(to)
      await sh(line(quote(to)), { cwd: tree })
      const { out, err } = await runProgram('python3', [join(golden, 'compare.py'), to, join(golden, 'truth/host-crypt.jsonl.zst')])
      expect(out + err).toMatch(/^71 entries, 0 differences\n$/)
    })
  },
)

describeWith({ fuse: true, root: true, golden: true, programs: { rsync: 'rsync' } }, 'hard links survive a copy that starts with the mount', () => {
  const copies: [name: string, line: string][] = [
    ['cp -a', 'cp -a'],
    ['rsync -aHAX', 'rsync -aHAX'],
  ]
  it.each(copies)('%s of 8,000 entries', async (name, line) => {
    const { path } = await rig.mount(join(golden, 'store::host/tricky/2023-11-28T12:00:00Z/root.pxar'), { name: `tricky-${name.slice(0, 2)}` })
    const to = rig.at(`tricky-copy-${name.slice(0, 2)}`)
    const sparse = name.startsWith('rsync') ? ' --sparse' : ''
    await sh(`${line}${sparse} . ${quote(to)}`, { cwd: path })
    expect(await compareTrees(to, path)).toEqual([])
  })

  it.each(copies)('%s of an archive with many entries, whose links lie far apart', async (name, line) => {
    const archive = rig.at('many.pxar')
    if (!existsSync(archive)) writeFileSync(archive, manyEntries())
    const { path } = await rig.mount(archive, { name: `many-${name.slice(0, 2)}` })
    const to = rig.at(`many-copy-${name.slice(0, 2)}`)
    await sh(`${line} . ${quote(to)}`, { cwd: path })
    const linked = await sh("find . -type f -links 2 -printf '%P\\n' | wc -l; find . -type f | wc -l", { cwd: to })
    expect(linked.trim().split(/\s+/).map(Number)).toEqual([2 * LINKS, MANY + 2 * LINKS])
    expect(statSync(join(to, 'first/0')).ino).toBe(statSync(join(to, 'last/0')).ino)
  })
})

const MANY = 30_000
const LINKS = 500

/** Files in `first`, many others in between, other names of the first ones in `last`. */
function manyEntries(): Buffer {
  const range = (length: number) => Array.from({ length }, (_, i) => String(i))
  const originals = range(LINKS).map((name): SourceNode => file(name, `content of ${name}`))
  const between = range(MANY / 1000).map((name) => dir(name, range(1000).map((leaf) => file(leaf)))) // prettier-ignore
  const links = originals.map((original, i) => hardlink(String(i), original, `first/${i}`))
  return encodeArchive(dir('', [dir('first', originals), dir('middle', between), dir('last', links)])).meta
}

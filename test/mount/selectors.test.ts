import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { exampleStore, goldenDir, repoDir } from '../support/golden.js'
import { MountRig } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'

const WEB = 'host/web/2026-01-02T00:00:00Z'

let rig: MountRig
beforeEach(() => {
  rig = new MountRig()
})
afterEach(() => rig.cleanUp())

/** What the root of a mount of SOURCE lists. */
async function namesOf(source: string, ...args: string[]): Promise<string[]> {
  const { path } = await rig.mount(source, { args })
  return readdirSync(path).sort()
}

const ROOT = ['dev', 'etc', 'home', 'srv', 'var']

describeWith({ fuse: true }, 'SOURCE selects what is mounted', () => {
  const parts: [selector: string, names: string[]][] = [
    ['', ['host', 'ns', 'vm']],
    ['::ns/offsite', ['host']],
    ['::ns/offsite/host/web', ['2026-01-07T00:00:00Z', 'latest']],
    ['::host', ['secret', 'web']],
    ['::host/web', ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z', 'latest']],
    ['::host/web/latest', ['index.json', 'root.pxar']],
    [`::${WEB}`, ['index.json', 'root.pxar']],
    [`::${WEB}/root.pxar`, ROOT],
    [`::${WEB}/root.mpxar`, ROOT],
    [`::${WEB}/root.pxar.didx`, ROOT],
    ['::host/web/latest/root.pxar:', ROOT],
    ['::host/web/latest/root.pxar:etc', ['hostname', 'hosts', 'nginx']],
    ['::host/web/latest/root.pxar:/etc/nginx/', ['html', 'nginx.conf']],
    ['::host/web/latest/root.pxar/etc/nginx', ['html', 'nginx.conf']],
    ['::host/web/latest/root.pxar:etc/hosts', ['hosts']],
    ['::h\\x6fst/web/latest/root.pxar:\\x65tc', ['hostname', 'hosts', 'nginx']],
    ['::vm/100/latest/drive-scsi0.img', ['drive-scsi0.img']],
    ['::vm/100/latest/qemu-server.conf', ['qemu-server.conf']],
    ['::host/web/latest/index.json', ['index.json']],
    ['/host/web', ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z', 'latest']],
    [`/${WEB}::root.pxar:srv`, ['ping', 'www']],
    [`/${WEB}/root.mpxar.didx`, ROOT],
    ['/host/web/2026-01-01T00:00:00Z/root.pxar.didx', ROOT],
    ['/host/web/2026-01-01T00:00:00Z/root.pxar.didx::etc', ['hostname', 'hosts', 'nginx']],
    ['/vm/100/2026-01-06T00:00:00Z/drive-scsi0.img.fidx', ['drive-scsi0.img']],
  ]
  it.each(parts)('STORE%s', async (selector, names) => {
    expect(await namesOf(exampleStore + selector)).toEqual(names)
  })

  it('a file inside an archive has its content', async () => {
    const { path } = await rig.mount(`${exampleStore}::${WEB}/root.pxar:etc/hosts`)
    const mounted = readFileSync(join(path, 'hosts'), 'latin1')
    expect(mounted).toMatch(/localhost/)
    expect(statSync(join(path, 'hosts')).size).toBe(mounted.length)
  })

  const vendorLines: [line: string[], names: string[]][] = [
    [[WEB, 'root.pxar'], ROOT],
    [[WEB, 'root.mpxar'], ROOT],
    [[WEB, 'root.pxar.didx'], ROOT],
    [[WEB, 'root.mpxar.didx'], ROOT],
    [['host/web', 'root.pxar'], ROOT],
    [['vm/100/2026-01-06T00:00:00Z', 'drive-scsi0.img'], ['drive-scsi0.img']],
    [['--ns', 'offsite', 'host/web/2026-01-07T00:00:00Z', 'etc.pxar'], ['hostname', 'hosts', 'nginx']],
  ]
  it.each(vendorLines)("a line of the vendor's client: %j", async (line, names) => {
    const { code, err } = await rig.pbsfs(['mount', ...line, rig.at('mnt'), '--repository', exampleStore])
    expect([code, err]).toEqual([0, ''])
    expect(readdirSync(rig.at('mnt')).sort()).toEqual(names)
  })

  it('relative paths count from where the command is given', async () => {
    const { path } = await rig.mount('datastore::host', { cwd: join(repoDir, 'examples') })
    expect(readdirSync(path).sort()).toEqual(['secret', 'web'])
  })
})

describeWith({ fuse: true, golden: true }, 'archives outside a datastore', () => {
  const archives = join(goldenDir() ?? '', 'archives')

  it('*.pxar, and *.mpxar with its *.ppxar beside it, show the same', async () => {
    const whole = await rig.mount(join(archives, 'small.pxar'), { name: 'whole' })
    const split = await rig.mount(join(archives, 'small.mpxar'), { name: 'split' })
    const names = readdirSync(whole.path).sort()
    expect(names).toContain('links')
    expect(readdirSync(split.path).sort()).toEqual(names)
    const inside = await rig.mount(`${join(archives, 'small.pxar')}::links`, { name: 'inside' })
    expect(readdirSync(inside.path)).toEqual(readdirSync(join(whole.path, 'links')))
  })

  it('*.mpxar with --payload-input', async () => {
    cpSync(join(archives, 'small.mpxar'), rig.at('alone.mpxar'))
    const payload = join(archives, 'small.ppxar')
    expect(await namesOf(rig.at('alone.mpxar'), '--payload-input', payload)).not.toEqual([])
  })
})

describeWith({ fuse: true }, 'SOURCE that cannot be mounted', () => {
  /** STORE stands for the example store, DIR for an empty folder, FILE for a file with a sentence in it. */
  const wrong: [source: string, code: number, sentence: RegExp][] = [
    ['', 2, /source is missing/],
    ['/nowhere/at-all', 4, /no such file or directory/],
    ['no-store-of-this-name', 4, /no datastore of that name is configured/],
    ['DIR', 4, /not a datastore/],
    ['STORE::nonsense', 2, /expected host, vm, ct or ns, found "nonsense"/],
    ['STORE::host/none', 4, /there is no such group/],
    ['STORE::ns/none', 4, /there is no such namespace/],
    ['STORE::host/web/yesterday', 2, /expected a time like .* or latest, found "yesterday"/],
    ['STORE::host/web/2020-01-01T00:00:00Z', 4, /there is no such finished snapshot/],
    ['STORE::host/web/latest/none.pxar', 4, /there is no such archive/],
    ['STORE::host/web/latest/root.pxar:none', 4, /root\.pxar:none: no such file or directory/],
    ['STORE::host/web/latest/root.pxar:etc/hosts/x', 4, /etc\/hosts: not a directory/],
    ['STORE::host/web/latest/root.pxar:../x', 2, /".." cannot be a name/],
    ['STORE::vm/100/latest/drive-scsi0.img:x', 4, /is a file, there is nothing inside/],
    ['STORE::host/secret/latest/home.pxar', 5, /needs key .*; given: none\n.*--keyfile/],
    ['STORE/host/web/owner', 2, /found "owner"/],
    ['FILE/x.ppxar', 2, /payload half/],
    ['FILE/x.mpxar', 4, /x\.ppxar.*--payload-input/s],
    ['FILE/x.pxar', 3, /x\.pxar/],
    ['FILE/x.pxar.didx', 2, /only lists chunks, and there is no datastore around it/],
    ['FILE/x.txt', 2, /neither a pxar archive nor a file of a datastore/],
  ]
  it.each(wrong)('"%s" ends with %i and a sentence', async (source, code, sentence) => {
    if (source.startsWith('FILE/')) {
      writeFileSync(rig.at(source.slice(5)), 'not an archive, whatever its name says, and long enough to be looked at')
    }
    const text = source.replace('STORE', exampleStore).replace(/^(?:DIR$|FILE\/)/, `${rig.folder}/`)
    const result = await rig.pbsfs(['mount', text, rig.at('mnt')])
    expect([result.code, result.out]).toEqual([code, ''])
    expect(result.err).toMatch(sentence)
    expect(result.err).not.toMatch(/fault of pbsfs| {4}at /)
    expect(result.err.split('\n').length).toBeLessThan(8)
    expect(existsSync(rig.at('mnt'))).toBe(false)
  })

  it("a vendor's line without a repository, or for a server", async () => {
    const bare = await rig.pbsfs(['mount', WEB, 'root.pxar', rig.at('mnt')], { env: { PBS_REPOSITORY: undefined } })
    expect([bare.code, bare.err]).toEqual([2, expect.stringContaining('needs --repository')])
    const remote = await rig.pbsfs(['mount', WEB, 'root.pxar', rig.at('mnt'), '--repository', 'root@pam@pbs.example.com:store'])
    expect([remote.code, remote.err]).toEqual([2, expect.stringContaining('names a server')])
  })

  it('a folder with chunks and nothing else is an empty datastore', async () => {
    mkdirSync(rig.at('empty/.chunks'), { recursive: true })
    expect(await namesOf(rig.at('empty'))).toEqual([])
  })
})

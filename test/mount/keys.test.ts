import { createHash } from 'node:crypto'
import { createReadStream, readFileSync, statSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { goldenDir, repoDir } from '../support/golden.js'
import { MountRig, type Mounted } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { runOk, runProgram } from '../support/run-program.js'

const golden = goldenDir() ?? ''
const store = join(golden, 'store')
const keyFile = (name: string) => join(golden, 'keys', name)
const PASSWORD = { PBS_ENCRYPTION_PASSWORD: 'golden-password' }
const NEEDS = { fuse: true, root: true, golden: true, programs: { python3: 'python3', getfattr: 'attr', setsid: 'util-linux' } }
const LONG_MS = 280_000
const EXIT_KEY = 5

/** The key of `plain.key` as it might appear somewhere. */
const secret = Buffer.from((JSON.parse(golden === '' ? '{"data":""}' : readFileSync(keyFile('plain.key'), 'utf8')) as { data: string }).data, 'base64')

let rig: MountRig
beforeAll(() => {
  rig = new MountRig()
})
afterAll(() => rig.cleanUp())

/** `pbsfs mount` with passwords in the environment. */
function mountWith(args: readonly string[], name: string, env: NodeJS.ProcessEnv = {}) {
  return rig.pbsfs(['mount', ...args, rig.at(name)], { env: { ...rig.who.env, ...env } })
}

async function expectExact(tree: string, truth: string): Promise<void> {
  const { out, err } = await runProgram('python3', [join(golden, 'compare.py'), tree, join(golden, 'truth', truth)], { timeoutMs: LONG_MS })
  expect(`${out}${err}`).toMatch(/^[1-9]\d* entries, 0 differences\n$/)
}

const xattr = async (path: string, name: string) => (await runOk('getfattr', ['--only-values', '-n', name, path])).trim()

describeWith(NEEDS, 'a store with all its keys', () => {
  const path = () => rig.at('all')
  beforeAll(async () => {
    const keys = ['plain.key', 'scrypt.key', 'pbkdf2.key'].flatMap((name) => ['--keyfile', keyFile(name)])
    const { code, err } = await mountWith([...keys, store], 'all', PASSWORD)
    expect(code, err).toBe(0)
  })

  it.each([
    'host/crypt/2023-11-30T12:00:00Z', 'host/crypt/2023-12-01T12:00:00Z', 'host/crypt-scrypt/latest',
    'host/crypt-pbkdf2/latest', 'host/crypt-master/latest', 'host/signed/latest',
  ])('%s equals what was backed up, and its signature is verified', async (snapshot) => {
    await expectExact(join(path(), snapshot, 'root.pxar'), 'host-crypt.jsonl.zst')
    expect(await xattr(join(path(), snapshot), 'user.pbs.signature')).toBe('verified')
  }, LONG_MS) // prettier-ignore

  it('the image of vm/101', async () => {
    const truth = JSON.parse(readFileSync(join(golden, 'truth/vm-101.jsonl'), 'utf8').split('\n')[0]!) as { size: number; sha256: string }
    const image = join(path(), 'vm/101/latest/drive-scsi1.img')
    expect(statSync(image).size).toBe(truth.size)
    const hash = createHash('sha256')
    for await (const chunk of createReadStream(image)) hash.update(chunk as Buffer)
    expect(hash.digest('hex')).toBe(truth.sha256)
    expect((await readFile(join(path(), 'vm/101/latest/qemu-server.conf'), 'utf8')).length).toBeGreaterThan(0)
  })
})

describeWith(NEEDS, 'one key', () => {
  it('the example', async () => {
    const example = join(golden, 'example')
    const mounted = await rig.mount(`${join(example, 'datastore')}::host/secret/latest/home.pxar`, { name: 'example', args: ['--keyfile', join(example, 'example.key')] })
    const { out, err } = await runProgram('python3', [join(golden, 'compare.py'), mounted.path, join(example, 'truth/secret.jsonl')])
    expect(`${out}${err}`).toMatch(/^[1-9]\d* entries, 0 differences\n$/)
  })

  it.each([
    ['the master key', ['--master-keyfile', keyFile('master.pem')], 'host/crypt-master/latest'],
    ['-o keyfile=', ['-o', `keyfile=${keyFile('plain.key')}`], 'host/crypt/latest'],
    ['in the foreground', ['--keyfile', keyFile('plain.key')], 'host/crypt/latest'],
  ])('%s', async (how, args, snapshot) => {
    const options = { name: `one ${how.replaceAll(/\W/g, '')}`, args }
    const source = `${store}::${snapshot}/root.pxar`
    const mounted = how === 'in the foreground' ? await rig.mountForeground(source, options) : await rig.mount(source, options)
    await expectExact(mounted.path, 'host-crypt.jsonl.zst')
  }, LONG_MS) // prettier-ignore

  it('a password typed on a terminal, where nothing of it is seen', async () => {
    const line = [process.execPath, join(repoDir, 'bin/pbsfs.js'), 'mount', '--keyfile', keyFile('pbkdf2.key'), `${store}::host/crypt-pbkdf2/latest`, rig.at('typed')]
    const run = (password: string) => runProgram('python3', [join(repoDir, 'test/support/type-password.py'), password, ...line], rig.who)
    const { code, out } = await run('golden-password')
    expect(out).toContain('Password of the key ')
    expect(out).not.toContain('golden-password')
    expect(code, out).toBe(0)
    expect(await xattr(rig.at('typed'), 'user.pbs.signature')).toBe('verified')
  })
})

describeWith(NEEDS, 'without the key', () => {
  let mounted: Mounted
  beforeAll(async () => {
    mounted = await rig.mount(store, { name: 'without', args: ['--keyfile', keyFile('plain.key')] })
  })
  const at = (...names: string[]) => join(mounted.path, ...names)

  it('names and sizes are there, opening is refused, and it says which key is needed', async () => {
    const listing = await runOk('ls', ['-la', at('host/crypt-pbkdf2/latest/')])
    expect(listing).toMatch(/root\.pxar$/m)
    const { code, err } = await runProgram('ls', [at('host/crypt-pbkdf2/latest/root.pxar/')])
    expect(code).not.toBe(0)
    expect(err).toMatch('Permission denied')
    const needs = await xattr(at('host/crypt-pbkdf2/latest/'), 'user.pbs.key')
    expect(needs).toMatch(/^needs key 24:26:b8:[0-9a-f:]+; given: 04:1d:d8:[0-9a-f:]+$/)
    expect(await xattr(at('host/crypt-pbkdf2/latest/root.pxar'), 'user.pbs.key')).toContain(needs)
    const status = await rig.pbsfs(['status', '--json'])
    expect(status.out).toContain(needs)
  })

  it('what the key is there for is not disturbed', async () => {
    expect((await runOk('ls', [at('host/crypt/latest/root.pxar')])).length).toBeGreaterThan(0)
  })

  it('a signed snapshot opens, and says that it was not verified', async () => {
    const signed = await rig.mount(`${store}::host/signed/latest`, { name: 'signed' })
    expect(await xattr(signed.path, 'user.pbs.signature')).toMatch(/^not verified: made with key 04:1d:/)
    await expectExact(join(signed.path, 'root.pxar'), 'host-crypt.jsonl.zst')
  })

  it.each<[string, string[], NodeJS.ProcessEnv, string]>([
    ['no key', [], {}, 'needs key 24:26:b8:'],
    ['another key', ['--keyfile', keyFile('plain.key')], {}, 'given: 04:1d:d8:'],
    ['a wrong password', ['--keyfile', keyFile('pbkdf2.key')], { PBS_ENCRYPTION_PASSWORD: 'geheim' }, 'wrong password'],
    ['no password, no terminal', ['--keyfile', keyFile('pbkdf2.key')], {}, 'no terminal to ask on'],
    ['a damaged key file', ['--keyfile', join(golden, 'compare.py')], {}, 'not a key file'],
    ['no key file', ['--keyfile', '/nowhere'], {}, 'no such file'],
    ['a master key it was not made for', ['--master-keyfile', keyFile('master.pem')], {}, 'carries no key for a master key'],
  ])('%s: its own sentence, exit code 5, nothing mounted', async (_, args, env, sentence) => {
    for (const selector of ['host/crypt-pbkdf2/latest', 'host/crypt-pbkdf2/latest/root.pxar']) {
      // A session of its own has no terminal.
      const line = [process.execPath, join(repoDir, 'bin/pbsfs.js'), 'mount', ...args, `${store}::${selector}`, rig.at('none')]
      const { code, err } = await runProgram('setsid', ['--wait', ...line], { env: { ...rig.who.env, ...env } })
      expect(code, err).toBe(EXIT_KEY)
      expect(err).toContain(sentence)
      expect(err).not.toContain('geheim')
    }
  }, LONG_MS) // prettier-ignore
})

describeWith(NEEDS, 'secrets', () => {
  it('are in no argument, environment, log or record of the daemon', async () => {
    const env = { ...PASSWORD, PBS_PASSWORD: 'server-password' }
    const args = ['-v', '--log', rig.at('secrets.log'), '--keyfile', keyFile('plain.key'), '--keyfile', keyFile('scrypt.key')]
    const { code, out, err } = await mountWith([...args, `${store}::host/crypt-scrypt/latest`], 'secrets', env)
    expect(code, err).toBe(0)
    await runOk('cat', [join(rig.at('secrets'), 'index.json')])
    const status = (await rig.pbsfs(['status', '--json'])).out
    const { mounts } = JSON.parse(status) as { mounts: { mountpoint: string; pid: number }[] }
    const { pid } = mounts.find(({ mountpoint }) => mountpoint === rig.at('secrets'))!
    const places = [
      out, err, readFileSync(`/proc/${pid}/cmdline`, 'latin1'), readFileSync(`/proc/${pid}/environ`, 'latin1'),
      readFileSync(rig.at('secrets.log'), 'latin1'), status,
    ] // prettier-ignore
    const words = ['golden-password', 'server-password', secret.toString('hex'), secret.toString('base64'), secret.toString('latin1')]
    for (const place of places) for (const word of words) expect(place).not.toContain(word)
    expect(places[3]).toContain('XDG_RUNTIME_DIR')
  })

  it('a key file that others can read is told of', async () => {
    const open = rig.at('open.key')
    writeFileSync(open, readFileSync(keyFile('plain.key')), { mode: 0o644 })
    const shown = await rig.pbsfs(['key', 'show', open])
    expect(shown.code).toBe(0)
    expect(shown.out).toMatch(/fingerprint +04:1d:d8:/)
    expect(shown.err).toMatch('mode 0644')
  })
})

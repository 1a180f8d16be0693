import { createHash } from 'node:crypto'
import { copyFileSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { main } from '#src/cli/main.js'
import { captureOutput } from '../support/captured-output.js'
import { goldenDir, repoDir } from '../support/golden.js'
import { describeWith } from '../support/needs.js'
import { runOk, runProgram } from '../support/run-program.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const golden = goldenDir() ?? ''
const store = join(golden, 'store')
const tricky = `${store}::host/tricky`
const program = join(repoDir, 'bin/pbsfs.js')

async function run(...args: string[]) {
  const output = captureOutput()
  return { code: await main(args, output), ...output.texts }
}

async function json<T>(...args: string[]): Promise<T> {
  const { out, err } = await run(...args, '--json')
  if (out === '') throw new Error(err)
  return JSON.parse(out) as T
}

describeWith({ golden: true }, 'looking without a mount', () => {
  it('list: every snapshot of the store, the newest of a group last, with what the manifest says', async () => {
    interface Listed { snapshots: { name: string; epoch: number; type: string; id: string; ns: string; encrypted: boolean; protected: boolean; notes: string | null; verify: { state: string } | null }[] } // prettier-ignore
    const { snapshots } = await json<Listed>('list', store)
    const onDisk = ['ct', 'host', 'vm'].flatMap((type) =>
      readdirSync(join(store, type)).flatMap((id) => readdirSync(join(store, type, id)).filter((name) => /^\d{4}-/.test(name)).map((time) => `${type}/${id}/${time}`)),
    )
    expect(snapshots.filter(({ ns }) => ns === '').map(({ name }) => name).sort()).toEqual(onDisk.sort())
    expect(snapshots.some(({ ns }) => ns === 'prod/eu')).toBe(true)
    const group = snapshots.filter(({ id, type, ns }) => ns === '' && type === 'host' && id === 'tricky')
    expect(group.map(({ epoch }) => epoch)).toEqual(group.map(({ epoch }) => epoch).sort((a, b) => a - b))
    expect(group[0]).toMatchObject({ protected: true, notes: 'first snapshot\nsecond line, größe', verify: { state: 'ok' } })
    expect(snapshots.filter(({ encrypted }) => encrypted).length).toBeGreaterThan(3)
    const { out } = await run('list', tricky, '--utc')
    expect(out.split('\n')[1]).toMatch(/^host\/tricky\/2023-11-26T12:00:00Z +2023-11-26 12:00:00Z .*verified, protected +first snapshot$/)
  })

  it('find: the same paths as the truth', async () => {
    const { out, err } = await run('find', `${tricky}/2023-11-29T12:00:00Z/root.pxar`, '-print0')
    const found = out.split('\0').slice(0, -1).map((path) => Buffer.from(path, 'latin1').toString('hex'))
    const truth = await truthPaths('tricky-4')
    expect(err).toBe('')
    const expected = truth.map((path) => Buffer.concat([Buffer.from('.'), ...(path.length === 0 ? [] : [Buffer.from('/'), path])]).toString('hex'))
    expect(found.sort()).toEqual(expected.sort())
  })

  it('find: tests of find(1), with one dash or two', async () => {
    const source = `${tricky}/2023-11-29T12:00:00Z/root.pxar`
    const one = await run('find', source, '-type', 'f', '-size', '+1M')
    expect(one.out.split('\n').sort()).toEqual(['', './sizes/4500M.sparse', './sizes/5M.random', './sizes/7M.zero', './sizes/9M.text', './sizes/new.bin', './src/copy0.bin', './src/copy2.bin'])
    expect(await run('find', source, '--type=f', '--size=+1M')).toEqual(one)
    expect((await run('find', source, '-name', 'aaa*', '-size', '-1k')).out).toBe('')
    expect((await run('find', source, '-iname', 'AAA*')).out).toBe('./aaa-first-link\n')
  })

  it('find --all: each version once, and since when it is gone', async () => {
    const { out } = await run('find', tricky, '--all', '-name', 'new.bin')
    expect(out).toBe('2023-11-29T12:00:00Z/root.pxar/sizes/new.bin\n')
    const gone = await run('find', store, '--all', '-path', 'etc.pxar/*', '-name', 'hard-to-symlink')
    expect(gone.out).toMatch(/^host\/tricky\/2023-11-26T12:00:00Z\/etc\.pxar\/.*\(gone since 2023-11-27T12:00:00Z\)\n$/)
  })

  it('ls and stat: what the truth says of an entry', async () => {
    interface Entry { path: string; type: string; mode: string; uid: number; gid: number; size: number; links: number; mtime: string } // prettier-ignore
    const { entries } = await json<{ entries: Entry[] }>('ls', `${tricky}/latest/root.pxar`)
    const first = entries.find(({ path }) => path === 'aaa-first-link')
    expect(first).toMatchObject({ type: 'file', mode: '0600', uid: 7, gid: 8, size: 19, links: 4 })
    expect(await json('stat', `${tricky}/latest/root.pxar`, 'aaa-first-link')).toMatchObject({ ...first, version: 1 })
    expect(await json('stat', `${tricky}/latest/root.pxar:aaa-first-link`)).toMatchObject({ ...first, version: 1 })
    const { out } = await run('ls', '-l', `${tricky}/latest/root.pxar`)
    expect(out).toMatch(/^-rw------- +4 +7 +8 +19 +\S+ \S+ +aaa-first-link$/m)
    const recursive = await run('ls', '-R', `${tricky}/latest/root.pxar`, 'links')
    expect(recursive.out).toMatch(/^\.:\n[^]*\n\n\.\/sub:\n/)
  })

  it('log: the state of a file in every snapshot', async () => {
    const { versions } = await json<{ versions: { snapshot: string; state: string }[] }>('log', `${tricky}/latest/root.pxar:sizes/new.bin`)
    expect(versions.map(({ state }) => state)).toEqual(['absent', 'absent', 'first', 'same'])
    const read = await json<{ versions: { state: string; assumed: boolean }[] }>('log', tricky, 'root.pxar/aaa-first-link', '--content')
    expect(read.versions.map(({ state, assumed }) => [state, assumed])).toEqual([['first', false], ['same', false], ['same', false], ['same', false]])
  })

  it('diff of two images: exactly the chunks whose bytes differ', async () => {
    const [a, b] = ['2023-12-10T12:00:00Z', '2023-12-11T12:00:00Z'].map((time) => `${store}::vm/100/${time}/drive-scsi0.img`) as [string, string]
    const { ranges } = await json<{ ranges: { offset: number; length: number }[] }>('diff', a, b)
    const [one, other] = [await readAll(a), await readAll(b)]
    const CHUNK = 4 << 20
    const changed: number[] = []
    for (let at = 0; at < other.length; at += CHUNK) if (!one.subarray(at, at + CHUNK).equals(other.subarray(at, at + CHUNK))) changed.push(at)
    const told = ranges.flatMap(({ offset, length }) => Array.from({ length: Math.ceil(length / CHUNK) }, (_, i) => offset + i * CHUNK))
    expect(told).toEqual(changed)
    expect((await run('diff', a, a, '--exit-code')).code).toBe(0)
    expect((await run('diff', a, b)).code).toBe(0)
    expect((await run('diff', a, b, '--exit-code')).code).toBe(1)
  })

  it('diff of two archives: the paths that the truths do not share, and no others', async () => {
    const [before, after] = [await truthPaths('tricky-3'), await truthPaths('tricky-4')].map((paths) => new Set(paths.map((path) => path.toString('latin1')))) as [Set<string>, Set<string>]
    interface Change { kind: string; from?: string; entry?: { path: string; pathHex?: string } } // prettier-ignore
    const { changes } = await json<{ changes: Change[] }>('diff', `${tricky}/2023-11-28T12:00:00Z/root.pxar`, `${tricky}/2023-11-29T12:00:00Z/root.pxar`)
    const gone = changes.filter(({ kind }) => kind === 'removed' || kind === 'moved').length
    const come = changes.filter(({ kind }) => kind === 'added' || kind === 'moved').length
    expect([gone, come]).toEqual([[...before].filter((path) => !after.has(path)).length, [...after].filter((path) => !before.has(path)).length])
  })

  it('images with different keys are not compared', async () => {
    const { code, err } = await run('diff', `${store}::vm/100/latest/drive-scsi1.img`, `${store}::vm/101/latest/drive-scsi1.img`, '--keyfile', join(golden, 'keys/plain.key'))
    expect(code).not.toBe(0)
    expect(err).toMatch(/key/)
  })

  it('cat: the bytes, through a real pipe; quiet when nobody reads on', async () => {
    const source = `${store}::vm/100/2023-12-09T12:00:00Z/drive-scsi2.img`
    const sum = await runOk('sh', ['-c', `node '${program}' cat '${source}' | sha256sum`])
    expect(sum.split(' ')[0]).toBe('a14fdeb059c45ccfd270d5f6c685efa2e28f9193950adaf92abdf168943279c2')
    const cut = await runProgram('sh', ['-c', `node '${program}' cat '${source}' | head -c 10 | wc -c`])
    expect([cut.out.trim(), cut.err]).toEqual(['10', ''])
  })

  it('a key that is missing, a path that is missing: each its exit code and sentence', async () => {
    expect(await run('ls', `${store}::host/crypt/latest/root.pxar`)).toMatchObject({ code: 5, out: '' })
    const missing = await run('cat', `${tricky}/latest/root.pxar`, 'no/such')
    expect(missing).toMatchObject({ code: 4, out: '' })
    expect(missing.err).toContain('there is no "no"')
    expect((await run('list', `${store}::host/nosuch`)).code).toBe(4)
    expect((await run('cat', `${tricky}/latest/root.pxar`, 'sizes')).err).toContain('is no file')
  })

  it('a place in a repository, named by option or environment', async () => {
    const { out } = await run('ls', 'host/tricky/latest', '--repository', store)
    expect(out).toBe('index.json\nroot.pxar\n')
    expect(await runOk('node', [program, 'ls', 'host/tricky/latest'], { env: { PBS_REPOSITORY: store } })).toBe(out)
  })
})

describeWith({}, 'a damaged store', () => {
  const folder = temporaryFolder()
  beforeAll(() => {
    cpSync(join(repoDir, 'examples/datastore'), join(folder, 'store'), { recursive: true })
  })

  it('a snapshot whose manifest is broken is listed as that, and the rest as always', async () => {
    const host = join(folder, 'store/host/web')
    const time = readdirSync(host).find((name) => /^\d{4}-/.test(name))!
    const manifest = join(host, time, 'index.json.blob')
    copyFileSync(manifest, join(folder, 'kept'))
    const bytes = readFileSync(manifest)
    bytes[bytes.length - 1]! ^= 1
    writeFileSync(manifest, bytes)
    const { code, out, err } = await run('list', join(folder, 'store'))
    expect(code).toBe(3)
    expect(out).toMatch(new RegExp(`host/web/${time} .*unreadable`))
    expect(out).toContain('vm/100/')
    expect(err).toContain(time)
    copyFileSync(join(folder, 'kept'), manifest)
  })

  it('a file whose chunk is missing fails by name, and is zeros on request', async () => {
    const source = `${join(folder, 'store')}::vm/100/latest/drive-scsi0.img`
    const whole = await readAll(source)
    const chunks = join(folder, 'store/.chunks')
    const names = readdirSync(chunks, { recursive: true }).map(String).filter((name) => name.length > 60)
    const digest = createHash('sha256').update(whole.subarray(0, 4 << 20)).digest('hex')
    const victim = names.find((name) => name.endsWith(digest)) ?? names[0]!
    rmSync(join(chunks, victim))
    const failed = await runProgram('node', [program, 'cat', source])
    expect(failed.code).toBe(3)
    expect(failed.err).toContain(digest.slice(0, 8))
    const zeros = await runProgram('sh', ['-c', `node '${program}' cat '${source}' --damaged zero | wc -c`])
    expect(zeros.out.trim()).toBe(String(whole.length))
  })
})

async function readAll(source: string): Promise<Buffer> {
  const parts = await runOk('sh', ['-c', `node '${program}' cat '${source}' | base64 -w0`])
  return Buffer.from(parts, 'base64')
}

/** Paths of a truth, relative to its root. */
async function truthPaths(name: string): Promise<Buffer[]> {
  const files = readdirSync(join(golden, 'truth')).filter((file) => file.includes(name))
  const path = join(golden, 'truth', files[0]!)
  const text = path.endsWith('.zst') ? await runOk('zstd', ['-dcq', path]) : readFileSync(path, 'utf8')
  return text.trim().split('\n').map((line) => JSON.parse(line) as { path: string }).map((entry) => Buffer.from(entry.path, 'hex')) // prettier-ignore
}

import { createHash } from 'node:crypto'
import { createReadStream, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { exampleStore, goldenDir, repoDir } from '../support/golden.js'
import { MountRig, type Mounted } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { runOk, runProgram } from '../support/run-program.js'

/** Hashing 25 GB of holes takes a while on a busy machine. */
const LONG_MS = 280_000

/** Where drive-scsi3 has data; all of it is less than FEW_BYTES. */
const ISLANDS = [0, 5_000_000_000, 15_032_385_536]
const FEW_BYTES = 64 << 20

const golden = goldenDir() ?? ''
const hashSparse = join(repoDir, 'test/support/hash-sparse.py')
const NEEDS = {
  fuse: true,
  root: true,
  golden: true,
  programs: { python3: 'python3', zstd: 'zstd', getfattr: 'attr' },
}

let rig: MountRig
let store: Mounted
beforeAll(async () => {
  rig = new MountRig()
})
afterAll(() => rig.cleanUp())

/** Differences between a mounted tree and the truth about it, as lines. */
async function compare(tree: string, truth: string): Promise<string> {
  const { out, err } = await runProgram('python3', [join(golden, 'compare.py'), tree, truth], { timeoutMs: LONG_MS })
  return `${out}${err}`
}

async function expectExact(tree: string, truth: string): Promise<void> {
  const result = await compare(tree, truth)
  expect(result.split('\n').slice(-30).join('\n')).toMatch(/^[1-9]\d* entries, 0 differences\n$/)
}

/** The truth with only those entries of which the path (bytes as latin1) passes. */
async function filterTruth(name: string, keep: (path: string) => boolean): Promise<string> {
  const text = await runOk('zstd', ['-dc', join(golden, `truth/${name}.jsonl.zst`)])
  const lines = text.trim().split('\n').filter((line) => keep(Buffer.from((JSON.parse(line) as { path: string }).path, 'hex').toString('latin1'))) // prettier-ignore
  const path = rig.at(`${name}.jsonl`)
  writeFileSync(path, lines.map((line) => line + '\n').join(''))
  return path
}

describeWith(NEEDS, 'a mounted store of the real server equals what was backed up', () => {
  beforeAll(async () => {
    store = await rig.mount(join(golden, 'store'), { name: 'store' })
  })

  const snapshots: [archive: string, truth: string][] = [
    ['host/tricky/2023-11-26T12:00:00Z/root.pxar', 'host-tricky-1'],
    ['host/tricky/2023-11-27T12:00:00Z/root.pxar', 'host-tricky-2'],
    ['host/tricky/2023-11-28T12:00:00Z/root.pxar', 'host-tricky-3'],
    ['host/tricky/2023-11-29T12:00:00Z/root.pxar', 'host-tricky-4'],
    ['host/signed/latest/root.pxar', 'host-crypt'],
    ['ns/prod/host/tricky/latest/root.pxar', 'ns-prod-host-tricky'],
    ['ns/prod/ns/eu/host/tricky/latest/root.pxar', 'ns-prod-eu-host-tricky'],
  ]
  it.each(snapshots)(
    '%s',
    async (archive, truth) => {
      await expectExact(join(store.path, archive), join(golden, `truth/${truth}.jsonl.zst`))
    },
    LONG_MS,
  )

  it('ct/200/latest/root.pxar, from which `zero` and `names/*` were excluded', async () => {
    const truth = await filterTruth('host-crypt', (path) => path !== 'zero' && !path.startsWith('names/'))
    await expectExact(join(store.path, 'ct/200/latest/root.pxar'), truth)
  })

  it('a tree that is another one is told apart', async () => {
    const other = await compare(join(store.path, 'ns/prod/host/tricky/latest/root.pxar'), join(golden, 'truth/ns-prod-eu-host-tricky.jsonl.zst'))
    expect(other).not.toMatch(/ 0 differences/)
  })

  const images = (generation: number) =>
    readFileSync(join(golden, `truth/vm-100-${generation}.jsonl`), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { archive?: string; size: number; sha256: string })
      .filter((line) => line.archive !== undefined)

  it.each([1, 2, 3])('the images of vm/100, generation %i', async (generation) => {
    const group = join(store.path, 'vm/100')
    const snapshot = join(group, readdirSync(group).sort()[generation - 1]!)
    const truth = images(generation)
    expect(truth.length).toBeGreaterThan(3)
    for (const { archive, size, sha256 } of truth) {
      const path = join(snapshot, archive!.replace('.fidx', ''))
      expect(statSync(path).size).toBe(size)
      // The image of 24 GiB is three islands in a hole: its test is the sparse copy.
      if (size < 1 << 30) expect([archive, await digest(path)]).toEqual([archive, sha256])
    }
  })

  it(
    'an image of 24 GiB shows its holes, and cp keeps them',
    async () => {
      const image = join(store.path, 'vm/100/2023-12-09T12:00:00Z/drive-scsi3.img')
      await runOk('cp', ['--sparse=auto', image, rig.at('copy.img')])
      const { size, sha256 } = images(1).find(({ archive }) => archive === 'drive-scsi3.img.fidx')!
      expect(statSync(image).blocks * 512).toBeLessThan(FEW_BYTES)
      expect(statSync(rig.at('copy.img')).size).toBe(size)
      expect(statSync(rig.at('copy.img')).blocks * 512).toBeLessThan(FEW_BYTES)
      const [digestOfImage, dataBytes] = (await runOk('python3', [hashSparse, image], { timeoutMs: LONG_MS })).split(' ')
      expect(digestOfImage).toBe(sha256)
      expect(Number(dataBytes)).toBeLessThan(FEW_BYTES)
      for (const island of ISLANDS) await runOk('cmp', ['-i', String(island), '--bytes', String(FEW_BYTES), image, rig.at('copy.img')])
    },
    LONG_MS,
  )

  it('what the server knows of a snapshot is in its xattrs', async () => {
    const values = async (path: string) => (await runOk('getfattr', ['-d', '-m', 'user.pbs', '--absolute-names', join(store.path, path)])).split('\n')
    const first = await values('host/tricky/2023-11-26T12:00:00Z')
    expect(first).toContain('user.pbs.protected="1"')
    expect(first).toContain('user.pbs.verify="ok"')
    expect(first).toContain('user.pbs.encrypted="none"')
    expect(first.some((line) => line.startsWith('user.pbs.notes='))).toBe(true)
    expect(first.some((line) => /^user\.pbs\.owner=".*@.*"$/.test(line))).toBe(true)
    expect(await values('host/tricky/2023-11-27T12:00:00Z')).toContain('user.pbs.protected="0"')
    expect(await values('host/crypt/latest/.')).toContain('user.pbs.encrypted="encrypt"')
    expect(await values('host/signed/latest/.')).toContain('user.pbs.encrypted="sign-only"')
  })

  it('an encrypted archive says so and costs nothing else', async () => {
    const crypt = join(store.path, 'host/crypt/latest')
    expect(readdirSync(crypt).sort()).toEqual(['index.json', 'root.pxar'])
    expect(() => readdirSync(join(crypt, 'root.pxar'))).toThrow(/EACCES/)
    expect(readFileSync(join(crypt, 'index.json'), 'utf8')).toContain('"backup-id"')
    expect(readFileSync(join(store.path, '.pbsfs/errors'), 'utf8')).toMatch(/host\/crypt\/.*needs key .*; given: none/)
  })
})

describeWith(NEEDS, 'mounted archives equal what was archived', () => {
  it.each(['small.pxar', 'small.mpxar'])('%s', async (name) => {
    const { path } = await rig.mount(join(golden, 'archives', name), { name })
    await expectExact(path, join(golden, 'truth/archives-small.jsonl.zst'))
  })
})

describeWith(NEEDS, 'the mounted example store equals what was backed up', () => {
  it('the three snapshots of host/web, and the second image of vm/100', async () => {
    const { path } = await rig.mount(exampleStore, { name: 'example' })
    for (const n of [1, 2, 3]) {
      await expectExact(join(path, `host/web/2026-01-0${n}T00:00:00Z/root.pxar`), join(golden, `example/truth/web-${n}.jsonl`))
    }
    const truth = readFileSync(join(golden, 'example/truth/vm-100-2.sha256'), 'latin1').trim()
    expect(await digest(join(path, 'vm/100/2026-01-06T00:00:00Z/drive-scsi0.img'))).toBe(truth)
  })
})

async function digest(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

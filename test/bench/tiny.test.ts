import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { repoDir } from '../support/golden.js'
import { noFuseReason } from '../support/mounting.js'

const run = promisify(execFile)
const reason = noFuseReason()
if (reason !== undefined) console.log(`benchmark test ${reason}`)

interface Report {
  figures: Record<string, { unit: string; values: number[]; median: number }>
  targets: { work: string; ratio: number }[]
  failures: Record<string, string>
}

/** Runs the benchmark on little data: whether it works, not how fast anything is. */
describe.skipIf(reason !== undefined)('benchmark, tiny', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pbsfs-bench-test-'))
  const main = join(repoDir, 'dist-bench/main.js')

  async function bench(...args: string[]): Promise<string> {
    // Mounts, logs and data then all lie in the folder.
    const env = { ...process.env, TMPDIR: folder }
    const { stdout } = await run(process.execPath, [main, '--tiny', ...args], { maxBuffer: 1 << 24, env })
    return stdout
  }

  beforeAll(async () => {
    await run(process.execPath, [join(repoDir, 'node_modules/typescript/bin/tsc'), '-p', join(repoDir, 'tsconfig.bench.json')])
  })

  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('measures every row, judges every target and leaves nothing behind', { timeout: 300_000 }, async () => {
    const file = join(folder, 'run.json')
    const names = (await bench('--list')).trim().split('\n')
    const printed = await bench('--json', file)
    const report = JSON.parse(readFileSync(file, 'utf8')) as Report
    expect(report.failures).toEqual({})
    for (const name of names) {
      const figure = report.figures[name]
      expect(figure?.values.length, name).toBe(1)
      expect(figure!.median, name).toBeGreaterThan(0)
      expect(printed).toContain(name)
    }
    expect(report.targets.length).toBeGreaterThan(20)
    for (const { work, ratio } of report.targets) expect(ratio, work).toBeGreaterThan(0)
    expect(readdirSync(folder)).toEqual(['run.json'])
    expect(readFileSync('/proc/self/mountinfo', 'latin1')).not.toContain(folder)
  })

  it('measures what a filter asks for and what that is compared with, and compares runs', { timeout: 120_000 }, async () => {
    const file = join(folder, 'find.json')
    await bench('--filter', '^find/split', '--json', file)
    const { figures } = JSON.parse(readFileSync(file, 'utf8')) as Report
    const names = Object.keys(figures).filter((name) => !name.startsWith('peak/'))
    expect(names).toEqual(['find/plain', 'find/split/cold', 'find/split/again'])
    const printed = await bench('--filter', '^find/plain$', '--compare', file)
    expect(printed).toMatch(/^row +then +now/m)
    expect(printed.match(/^find\/plain /gm)).toHaveLength(2)
  })

  it('writes archives that hold the same bytes as the plain files', { timeout: 120_000 }, async () => {
    const data = join(folder, 'data')
    const mountpoint = join(folder, 'mnt')
    const tree = { bigBytes: 9_000_001, folders: 3, filesPerFolder: 40, smallest: 1, largest: 60_000 }
    const parts = ['split', 'classic', 'plain'].map((kind) => ({ kind, name: kind, tree }))
    await run(process.execPath, [join(repoDir, 'dist-bench/writer/main.js'), data, JSON.stringify(parts)])
    const pbsfs = join(repoDir, 'bin/pbsfs.js')
    await run(process.execPath, [pbsfs, 'mount', join(data, 'store'), mountpoint])
    try {
      for (const archive of ['host/split/latest/root.pxar', 'host/classic/latest/root.pxar']) {
        // Rejects at the first difference.
        await run('diff', ['-r', join(data, 'plain'), join(mountpoint, archive)])
        expect(readdirSync(join(mountpoint, archive))).toHaveLength(4)
      }
    } finally {
      await run(process.execPath, [pbsfs, 'umount', mountpoint])
      rmSync(data, { recursive: true })
    }
  })

  it('refuses options it does not know', async () => {
    await expect(bench('--fast')).rejects.toThrow(/--fast/)
    expect(existsSync(join(folder, 'store'))).toBe(false)
  })
})

import { spawn, type ChildProcess } from 'node:child_process'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { exampleStore, repoDir } from '../support/golden.js'
import { LockServer } from '../support/lock-server.js'
import { isRunning, MountRig, waitUntil, type Mounted } from '../support/mount-rig.js'
import { describeWith } from '../support/needs.js'
import { runProgram } from '../support/run-program.js'

const FIRST = '2026-01-01T00:00:00Z'
const SECOND = '2026-01-02T00:00:00Z'
const SOON_MS = 20_000
const PASSES = 4

let rig: MountRig
let store: string
const readers: Reader[] = []

/** Somebody who reads everything in a folder again and again. */
class Reader {
  readonly child: ChildProcess
  readonly lines: string[] = []

  constructor(folder: string) {
    this.child = spawn('python3', [join(repoDir, 'test/support/read-over-and-over.py'), folder], { stdio: ['pipe', 'pipe', 'inherit'] })
    createInterface({ input: this.child.stdout! }).on('line', (line) => this.lines.push(line))
    readers.push(this)
  }

  ready(): Promise<void> {
    return waitUntil(() => this.lines.length > 1, SOON_MS, 'a reader that reads')
  }

  /** What came of the passes that began after this was called. */
  async next(): Promise<string[]> {
    const from = this.lines.length + 1
    await waitUntil(() => this.lines.length >= from + PASSES, SOON_MS, 'a reader that goes on')
    return this.lines.slice(from).flatMap((line) => line.split(' '))
  }
}

beforeEach(() => {
  rig = new MountRig()
  store = rig.at('store')
  cpSync(exampleStore, store, { recursive: true })
})
afterEach(async () => {
  for (const { child } of readers.splice(0)) child.kill('SIGKILL')
  await rig.cleanUp()
})

const ways: [string, (selector: string) => Promise<Mounted>][] = [
  ['of a store that no server here has', (selector) => rig.mount(store + selector)],
  [
    'with --no-lock',
    (selector) => {
      const server = new LockServer(rig.at('server'), { main: store })
      server.close()
      const { configDir, runtimeDir } = server
      return rig.mountWith(store + selector, { lock: 'none', server: { configDir, runtimeDir } })
    },
  ],
]

describeWith({ fuse: true, root: true, programs: { python3: 'python3' } }, 'a snapshot that is removed while it is read', () => {
  it.each(ways)('%s: right bytes, ESTALE or EIO, and everything else goes on', async (_name, mount) => {
    const { path, pid } = await mount('')
    const web = (...names: string[]) => join(path, 'host/web', ...names)
    const [gone, stays] = [new Reader(web(FIRST, 'root.pxar')), new Reader(web(SECOND, 'root.pxar'))]
    await Promise.all([gone.ready(), stays.ready()])
    rmSync(join(store, 'host/web', FIRST), { recursive: true })
    for (const word of await gone.next()) expect(['same', 'ESTALE', 'EIO', 'ENOENT']).toContain(word)
    // By the path of files in it, after what the kernel may remember of the name.
    await waitUntil(async () => (await gone.next()).every((word) => word === 'ENOENT'), SOON_MS, 'no path to it')
    expect(new Set(await stays.next())).toEqual(new Set(['same']))
    expect(readdirSync(web())).not.toContain(FIRST)
    expect(existsSync(web(FIRST))).toBe(false)
    expect(isRunning(pid)).toBe(true)
    expect((await rig.pbsfs(['status', '--json', path])).out).toContain('"state": "running"')
  })

  it.each(ways)('%s: the one that is mounted, chunks and all', async (_name, mount) => {
    const { path, pid } = await mount(`::host/web/${FIRST}/root.pxar`)
    const reader = new Reader(path)
    await reader.ready()
    rmSync(join(store, 'host/web', FIRST), { recursive: true })
    rmSync(join(store, '.chunks'), { recursive: true })
    const words = await reader.next()
    for (const word of words) expect(['same', 'ESTALE', 'EIO']).toContain(word)
    expect(isRunning(pid)).toBe(true)
    // What was in memory may still be read; a file that never was gives a named error.
    for (const line of readFileSync(join(path, '.pbsfs/errors'), 'utf8').split('\n').filter(Boolean)) {
      expect(line).not.toMatch(/bug|TypeError|RangeError/)
    }
  })

  it('what was never opened of it is stale, and it is said why', async () => {
    const { path } = await rig.mount(`${store}::host/web/${SECOND}`)
    readdirSync(join(path, 'root.pxar'))
    rmSync(join(store, 'host/web', SECOND), { recursive: true })
    // Its contents are in a stream of their own, whose index was not read yet.
    const { code, err } = await runProgram('cat', [join(path, 'root.pxar/etc/hostname')])
    expect(code).toBe(1)
    expect(err).toMatch(/Stale file handle/)
    expect(readFileSync(join(path, '.pbsfs/errors'), 'utf8')).toContain('the snapshot was removed while it was in use')
  })
})

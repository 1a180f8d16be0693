import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, cpSync, openSync, readdirSync, readFileSync, readSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { MountConfig, ServerConfig } from '#src/daemon/mount-config.js'
import type { LockStatus, StatusDocument } from '#src/daemon/status.js'
import { exampleStore } from '../support/golden.js'
import { LockServer } from '../support/lock-server.js'
import { MountRig, waitUntil } from '../support/mount-rig.js'
import { describeWith, skipWithout } from '../support/needs.js'
import { runProgram, sh } from '../support/run-program.js'

const FIRST = '2026-01-01T00:00:00Z'
const SECOND = '2026-01-02T00:00:00Z'
const THIRD = '2026-01-03T00:00:00Z'
const IDLE_MS = 1_500
const SOON_MS = 20_000
const FILE = 'root.pxar/etc/hostname'

const nameOf = (time: string) => `host-web-${time.replaceAll('-', '\\x2d').replaceAll(':', '\\x3a')}`

let rig: MountRig
let store: string
let server: LockServer
let mnt: string
const shells: Shell[] = []

/** A shell that stays where it is. */
class Shell {
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string, undefined>

  constructor(cwd: string) {
    this.#child = spawn('/bin/bash', [], { cwd, stdio: ['pipe', 'pipe', 'ignore'], env: { ...process.env, LC_ALL: 'C' } })
    this.#answers = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
    shells.push(this)
  }

  /** First line of what the command says, errors too; `ok` when it says nothing. */
  async run(command: string): Promise<string> {
    this.#child.stdin!.write(`out=$({ ${command}; } 2>&1 | head -1); echo "\${out:-ok}"\n`)
    const answer: IteratorResult<string, undefined> = await this.#answers.next()
    return answer.value ?? 'the shell has ended'
  }

  close(): void {
    this.#child.kill('SIGKILL')
  }
}

async function mount(selector = '', changes: Partial<MountConfig> = {}, more: ServerConfig = {}): Promise<number> {
  const { configDir, runtimeDir } = server
  const mounted = await rig.mountWith(store + selector, { server: { configDir, runtimeDir, lockIdleMs: IDLE_MS, ...more }, ...changes })
  mnt = mounted.path
  return mounted.pid
}

const web = (...names: string[]) => join(mnt, 'host/web', ...names)
const folderOf = (time: string) => join(store, 'host/web', time)
const fileOf = (time: string) => server.lockFile('main', nameOf(time))
/** Whether the server could remove the snapshot, in its old way and in its new one. */
const isFree = async (time: string) => [await server.isFree(folderOf(time)), await server.isFree(fileOf(time))]
const FREE = [true, true]
const HELD = [false, false]
/** The lock is there after the request; again and again, for a machine that is so busy that it is gone by then. */
const becomesHeld = (time: string, request: () => unknown) => {
  const asked = async () => {
    request()
    return !(await isFree(time)).some(Boolean)
  }
  return waitUntil(asked, SOON_MS, `${time} held`)
}
const becomesFree = (time: string) => waitUntil(async () => (await isFree(time)).every(Boolean), SOON_MS, `${time} free again`)

/** As the server forgets a snapshot: with its locks, which go as well. */
async function forget(time: string): Promise<void> {
  expect([await server.hold(folderOf(time)), await server.hold(fileOf(time))]).toEqual(['held', 'held'])
  rmSync(folderOf(time), { recursive: true })
  rmSync(fileOf(time))
  await server.release()
}

async function locksOf(): Promise<LockStatus> {
  const { out } = await rig.pbsfs(['status', '--json', mnt])
  return (JSON.parse(out) as StatusDocument).mounts[0]!.session!.locks!
}

beforeEach(() => {
  rig = new MountRig()
  store = rig.at('store')
  cpSync(exampleStore, store, { recursive: true })
  server = new LockServer(rig.at('server'), { main: store })
})
afterEach(async () => {
  for (const shell of shells.splice(0)) shell.close()
  server.close()
  await rig.cleanUp()
})

describeWith({ fuse: true, root: true, programs: { python3: 'python3' } }, 'locks of a mount', () => {
  it('of a snapshot: held from the start to the end, whatever is asked', async () => {
    await mount(`::host/web/${FIRST}`)
    expect(await isFree(FIRST)).toEqual(HELD)
    await new Promise((resolve) => setTimeout(resolve, 2 * IDLE_MS))
    expect(await isFree(FIRST)).toEqual(HELD)
    expect(await isFree(SECOND)).toEqual(FREE)
    expect(await locksOf()).toEqual({ held: [{ snapshot: `host/web/${FIRST}`, openFiles: 0, idleSeconds: 0, complete: true }] })
    expect((await rig.pbsfs(['status', mnt])).out).toMatch(new RegExp(`^locks +host/web/${FIRST}`, 'm'))
    expect((await rig.pbsfs(['umount', mnt])).code).toBe(0)
    expect(await isFree(FIRST)).toEqual(FREE)
  })

  it('of a wider mount: not by looking at folders above, but by entering', async () => {
    await mount()
    const probes = ['ls -laR --ignore=2026* .', 'ls -la host/web', 'stat host/web/*', 'ls host/web/.hidden host/.git .Trash-0']
    await sh([...probes, `getfattr -d -m - host/web/${FIRST}`, 'true'].join('; '), { cwd: mnt })
    expect((await locksOf()).held).toEqual([])
    expect(await isFree(FIRST)).toEqual(FREE)
    await becomesHeld(FIRST, () => statSync(web(FIRST, 'nothing'), { throwIfNoEntry: false }))
    expect(await isFree(SECOND)).toEqual(FREE)
    await becomesFree(FIRST)
    // What the kernel remembers is no use; asking for more is.
    await becomesHeld(FIRST, () => readFileSync(web(FIRST, FILE)))
  })

  it('an idle mount blocks nothing, also after a find over all of it', async () => {
    await mount()
    await becomesHeld(THIRD, () => readFileSync(web(THIRD, FILE)))
    const found = await sh('find . -type f -exec md5sum {} + | wc -l', { cwd: mnt })
    expect(Number(found)).toBeGreaterThan(10)
    await waitUntil(async () => (await locksOf()).held.length === 0, SOON_MS, 'everything given up')
    for (const time of [FIRST, SECOND, THIRD]) expect(await isFree(time)).toEqual(FREE)
    expect((await rig.pbsfs(['status', mnt])).out).toMatch(/^locks +none held/m)
  })

  it('an open file holds its snapshot until it is closed, a mapped one too', async () => {
    await mount()
    const fd = openSync(web(FIRST, FILE), 'r')
    await new Promise((resolve) => setTimeout(resolve, 2 * IDLE_MS))
    expect(await isFree(FIRST)).toEqual(HELD)
    expect((await locksOf()).held).toMatchObject([{ snapshot: `host/web/${FIRST}`, openFiles: 1 }])
    expect(readSync(fd, Buffer.alloc(100), 0, 100, 0)).toBeGreaterThan(0)
    closeSync(fd)
    await becomesFree(FIRST)
    const script = 'import mmap,os,sys; fd=os.open(sys.argv[1],0); m=mmap.mmap(fd,0,prot=1); os.close(fd); print(1,flush=True); sys.stdin.read()'
    const child = spawn('python3', ['-c', script, web(SECOND, FILE)], { stdio: ['pipe', 'pipe', 'inherit'] })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    await new Promise((resolve) => setTimeout(resolve, 2 * IDLE_MS))
    expect(await isFree(SECOND)).toEqual(HELD)
    child.stdin.end()
    await becomesFree(SECOND)
  })

  it.each(['folder', 'file'])('while the server has its %s, a snapshot is not opened, and afterwards it is', async (kind) => {
    await server.hold(kind === 'folder' ? folderOf(FIRST) : fileOf(FIRST))
    await mount()
    const refused = await runProgram('ls', [web(FIRST)])
    expect(refused).toMatchObject({ code: 2, err: expect.stringContaining('Device or resource busy') as unknown })
    expect(readdirSync(web())).toContain(FIRST)
    expect(readdirSync(web(SECOND))).toContain('root.pxar')
    const errors = readFileSync(join(mnt, '.pbsfs/errors'), 'utf8')
    expect(errors).toContain('in use by the server')
    const whole = await rig.mountWith(`${store}::host/web/${FIRST}`, { server: { ...server } }, 'other').catch((error: unknown) => error)
    expect(whole).toMatchObject({ tag: 'busy' })
    await server.release()
    expect(readdirSync(web(FIRST))).toContain('root.pxar')
  })

  it('a snapshot that is forgotten while nobody uses it: ESTALE for who stayed in it, gone for all others', async () => {
    await mount()
    const shell = new Shell(web(FIRST, 'root.pxar/etc'))
    expect(await shell.run('cat hostname')).not.toContain('cat:')
    await becomesFree(FIRST)
    await forget(FIRST)
    expect(await shell.run('cat hostname')).toContain('Stale file handle')
    expect(await shell.run('cat hosts')).toContain('Stale file handle')
    expect(await shell.run(`cat ${web(FIRST, FILE)}`)).toContain('No such file or directory')
    await waitUntil(() => !readdirSync(web()).includes(FIRST), SOON_MS, 'the listing without it')
    expect(readFileSync(web(SECOND, FILE)).length).toBeGreaterThan(0)
    // No lock file is made for what is not there.
    expect(statSync(fileOf(FIRST), { throwIfNoEntry: false })).toBeUndefined()
  })

  it('a snapshot that is replaced while nobody uses it: ESTALE for the old files, the new ones by their path', async () => {
    await mount()
    const letters = 'root.pxar/home/anna/letters'
    const before = readdirSync(web(THIRD, letters))
    const shell = new Shell(web(THIRD, letters))
    expect(await shell.run(`cat ${before[0]}`)).not.toContain('cat:')
    await becomesFree(THIRD)
    await forget(THIRD)
    cpSync(folderOf(FIRST), folderOf(THIRD), { recursive: true })
    expect(await shell.run(`cat ${before[0]}`)).toContain('Stale file handle')
    expect(await shell.run('cat ../../../etc/hostname')).toContain('Stale file handle')
    await waitUntil(() => statSync(web(THIRD, letters), { throwIfNoEntry: false }) !== undefined, SOON_MS, 'the new snapshot')
    expect(readdirSync(web(THIRD, letters))).toEqual(readdirSync(web(FIRST, letters)))
    expect(readdirSync(web(THIRD, letters))).not.toEqual(before)
  })

  it('notes that the server writes into a manifest change nothing for open files and folders', async () => {
    await mount()
    const shell = new Shell(web(FIRST, 'root.pxar/etc'))
    const text = await shell.run('cat hostname')
    await becomesFree(FIRST)
    const manifest = join(folderOf(FIRST), 'index.json.blob')
    cpSync(manifest, `${manifest}.tmp`)
    renameSync(`${manifest}.tmp`, manifest)
    expect(await shell.run('cat hostname')).toBe(text)
  })

  it('go with a daemon that is killed', async () => {
    const pid = await mount(`::host/web/${FIRST}`)
    expect(await isFree(FIRST)).toEqual(HELD)
    process.kill(pid, 'SIGKILL')
    await becomesFree(FIRST)
    await rig.pbsfs(['umount', mnt])
  })

  it('--no-lock takes none, and the kernel opens files by itself', async () => {
    await mount('', { lock: 'none' })
    readFileSync(web(FIRST, FILE))
    expect(await isFree(FIRST)).toEqual(FREE)
    expect((await rig.pbsfs(['status', mnt])).out).toMatch(/^locks +none: by --no-lock/m)
  })

  it('through fuse-native as well', async (context) => {
    skipWithout({ fuseNative: true }, context)
    await mount('', { driver: 'fuse-native' })
    const fd = openSync(web(FIRST, FILE), 'r')
    await new Promise((resolve) => setTimeout(resolve, 2 * IDLE_MS))
    expect(await isFree(FIRST)).toEqual(HELD)
    closeSync(fd)
    await becomesFree(FIRST)
  })
})

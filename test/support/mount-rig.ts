import { spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildMountConfig } from '#src/cli/actions/mount.js'
import { plainMountArguments } from '#src/cli/mount-arguments.js'
import { startDaemon } from '#src/daemon/background.js'
import type { MountConfig } from '#src/daemon/mount-config.js'
import { repoDir } from './golden.js'
import { runProgram, type Finished, type RunOptions } from './run-program.js'

const bin = join(repoDir, 'bin/pbsfs.js')

/** The ordinary user of the tests: nobody. */
export const NOBODY = 65534

/** A daemon whose mount is gone must have gone by then, on a busy machine. */
const EXIT_TIMEOUT_MS = 10_000
const POLL_MS = 10

export interface RigOptions {
  /** Everything of the rig runs as this user. */
  readonly uid?: number | undefined
}

export interface MountOptions {
  /** Name of the mountpoint in the rig's folder; made by pbsfs. */
  readonly name?: string | Buffer
  /** Further arguments, like `-o allow_other`. */
  readonly args?: readonly string[]
  readonly cwd?: string
}

/** A mount that answers. */
export interface Mounted {
  /** Where it is; of a name that is not UTF-8 only `bytes` is right. */
  readonly path: string
  readonly bytes: Buffer
  readonly pid: number
  readonly output: string
}

/** A record of the runtime folder, as far as tests look at it. */
interface RuntimeRecord {
  readonly file: string
  readonly pid: number
  readonly mountpoint: string
}

/**
 * Drives the command line as a user does, in a folder of its own, and leaves nothing behind:
 * `cleanUp` ends every mount below the folder and throws when something was left by pbsfs itself (a
 * daemon, a mount that cannot be ended, a record).
 */
export class MountRig {
  readonly folder: string
  readonly uid: number | undefined
  readonly #env: NodeJS.ProcessEnv
  readonly #pids = new Set<number>()
  readonly #children = new Set<ChildProcess>()

  constructor(options: RigOptions = {}) {
    this.folder = realpathSync(mkdtempSync(join(tmpdir(), 'pbsfs-rig-')))
    this.uid = options.uid
    const run = join(this.folder, 'run')
    mkdirSync(run, { mode: 0o700 })
    chmodSync(this.folder, 0o755)
    if (options.uid !== undefined) {
      for (const path of [run, this.folder]) chownSync(path, options.uid, options.uid)
    }
    this.#env = { XDG_RUNTIME_DIR: run, HOME: this.folder }
  }

  /** Options under which a program runs as the user of this rig. */
  get who(): RunOptions {
    return { uid: this.uid, env: this.#env }
  }

  /** Path of something in the rig's folder. */
  at(...names: string[]): string {
    return join(this.folder, ...names)
  }

  /** Runs `pbsfs ARGS` to its end. */
  pbsfs(args: readonly (string | Buffer)[], options: RunOptions = {}): Promise<Finished> {
    return runProgram(process.execPath, [bin, ...args], { ...this.who, ...options })
  }

  /** `pbsfs mount SOURCE MOUNTPOINT`; throws what it said when it failed. */
  async mount(source: string | Buffer, options: MountOptions = {}): Promise<Mounted> {
    const bytes = this.#mountpoint(options.name)
    const where = options.cwd === undefined ? {} : { cwd: options.cwd }
    const args = [...(options.args ?? []), source, bytes].map((arg) => (Buffer.isBuffer(arg) && isUtf8(arg) ? arg.toString() : arg))
    const { code, out, err } = await this.pbsfs(['mount', ...args], where)
    const pid = this.#findPid(bytes)
    if (pid !== undefined) this.#pids.add(pid)
    if (code !== 0) throw new Error(`mount ended with ${code}: ${err}`)
    if (pid === undefined) throw new Error(`mounted, but there is no record of it: ${out}${err}`)
    return { path: bytes.toString(), bytes, pid, output: out }
  }

  /** A mount with what no command line can ask for, by the user of the tests. */
  async mountWith(source: string, changes: Partial<MountConfig>, name = 'mnt'): Promise<Mounted> {
    const bytes = this.#mountpoint(name)
    const config = buildMountConfig(plainMountArguments([source, bytes.toString()]), {}, Buffer.from('/'))
    const { pid } = await startDaemon().mount({ ...config, ...changes })
    this.#pids.add(pid)
    return { path: bytes.toString(), bytes, pid, output: '' }
  }

  /** `pbsfs mount --foreground`, as a child that can be sent signals; resolves when it says that it is mounted. */
  async mountForeground(source: string, options: MountOptions = {}): Promise<Foreground> {
    const bytes = this.#mountpoint(options.name)
    const child = spawn(process.execPath, [bin, 'mount', '-f', ...(options.args ?? []), source, bytes.toString()], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: options.cwd,
      env: { ...process.env, LC_ALL: 'C', ...this.#env },
      ...(this.uid === undefined ? {} : { uid: this.uid, gid: this.uid }),
    })
    this.#children.add(child)
    const foreground = new Foreground(child, bytes.toString())
    await foreground.ready
    return foreground
  }

  umount(mounted: { readonly path: string; readonly bytes?: Buffer }, ...args: string[]): Promise<Finished> {
    const path = mounted.bytes === undefined || isUtf8(mounted.bytes) ? mounted.path : mounted.bytes
    return this.pbsfs(['umount', ...args, path])
  }

  /** Pids of daemons whose records name a mountpoint below the folder. */
  daemonPids(): number[] {
    return this.#records().map(({ pid }) => pid)
  }

  /** Everything that exists of mounts below the folder: mounts, records, living daemons. */
  remains(): string[] {
    return [
      ...mountsBelow(this.folder).map((path) => `mount ${path.toString('latin1')}`),
      ...this.#records().map(({ file }) => `record ${file}`),
      ...[...this.#pids].filter((pid) => isRunning(pid)).map((pid) => `process ${pid}`),
    ]
  }

  /** A daemon that was started by other means than `mount`. */
  watch(pid: number): void {
    this.#pids.add(pid)
  }

  async cleanUp(): Promise<void> {
    const problems: string[] = []
    try {
      for (const pid of this.daemonPids()) this.#pids.add(pid)
      for (let path = mountsBelow(this.folder).at(-1); path !== undefined; path = mountsBelow(this.folder).at(-1)) {
        const { code, err } = await this.#unmount(path)
        if (code === 0) continue
        problems.push(`umount ended with ${code}: ${err}`)
        await runProgram('umount', ['-l', path])
      }
      for (const child of this.#children) {
        if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      }
      await waitUntil(() => this.remains().length === 0, EXIT_TIMEOUT_MS).catch(() => undefined)
      problems.push(...this.remains())
    } finally {
      for (const pid of this.#pids) if (isRunning(pid)) process.kill(pid, 'SIGKILL')
      for (const { file } of this.#records()) rmSync(file, { force: true })
      if (mountsBelow(this.folder).length === 0) rmSync(this.folder, { recursive: true, force: true })
    }
    if (problems.length > 0) throw new Error(`left behind: ${problems.join('; ')}`)
  }

  /** The system's own way is five times faster than ours, and tests of ours do not come through here. */
  async #unmount(path: Buffer): Promise<Finished> {
    const fast = process.geteuid?.() === 0 ? await runProgram('umount', [path]) : await runProgram('fusermount3', ['-u', path])
    return fast.code === 0 ? fast : this.pbsfs(['umount', isUtf8(path) ? path.toString() : path])
  }

  #mountpoint(name: string | Buffer = 'mnt'): Buffer {
    return Buffer.concat([Buffer.from(`${this.folder}/`), Buffer.from(name)])
  }

  #findPid(mountpoint: Buffer): number | undefined {
    return this.#records().find((record) => record.mountpoint === mountpoint.toString('hex'))?.pid
  }

  #records(): RuntimeRecord[] {
    const below = Buffer.from(`${this.folder}/`).toString('hex')
    const isRoot = (this.uid ?? process.geteuid?.()) === 0
    const folder = isRoot ? '/run/pbsfs' : join(this.folder, 'run/pbsfs')
    return readRecords(folder).filter(({ mountpoint }) => mountpoint.startsWith(below))
  }
}

/** A mount in the foreground. */
export class Foreground {
  readonly child: ChildProcess
  readonly path: string
  readonly ready: Promise<void>
  /** Exit code, or the name of the signal that ended it. */
  readonly ended: Promise<number | string>
  out = ''
  err = ''

  constructor(child: ChildProcess, path: string) {
    this.child = child
    this.path = path
    this.ended = new Promise((resolve) => child.on('close', (code, signal) => resolve(code ?? signal ?? 'unknown')))
    this.ready = new Promise((resolve, reject) => {
      child.stdout!.on('data', (chunk: Buffer) => {
        this.out += chunk.toString('latin1')
        if (this.out.includes('mounted at ')) resolve()
      })
      void this.ended.then((end) => reject(new Error(`ended with ${end}: ${this.err}`)))
    })
    child.stderr!.on('data', (chunk: Buffer) => (this.err += chunk.toString('latin1')))
  }

  get pid(): number {
    return this.child.pid!
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }
}

/** Resolves when the condition holds; rejects when it does not within the time. */
export async function waitUntil(condition: () => boolean | Promise<boolean>, timeoutMs: number, what = 'the condition'): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`${what} did not come true in ${timeoutMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** Mountpoints below a folder, in the order they were mounted. */
export function mountsBelow(folder: string): Buffer[] {
  const found: Buffer[] = []
  for (const line of readFileSync('/proc/self/mountinfo', 'latin1').split('\n')) {
    const field = line.split(' ')[4]
    if (field === undefined) continue
    const path = field.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)))
    if (path.startsWith(`${folder}/`)) found.push(Buffer.from(path, 'latin1'))
  }
  return found
}

/** A zombie does not count: it waits for its parent, not for us. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return false
  }
}

function readRecords(folder: string): RuntimeRecord[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder).flatMap((name) => {
    if (!/^mount-\d+\.json$/.test(name)) return []
    try {
      const record = JSON.parse(readFileSync(join(folder, name), 'utf8')) as { pid: number; mountpoint: string }
      return [{ file: join(folder, name), pid: record.pid, mountpoint: record.mountpoint }]
    } catch {
      // Removed at this moment.
      return []
    }
  })
}

function isUtf8(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString('utf8')).equals(bytes)
}

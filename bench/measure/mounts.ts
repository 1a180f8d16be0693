import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DAEMON_FLAGS } from '#src/daemon/background.js'
import { isAlive, readProcessId, waitForExit, type ProcessId } from '#src/daemon/process-id.js'
import { openRuntimeFolder } from '#src/daemon/runtime-folder.js'
import { listRecords } from '#src/daemon/runtime-record.js'
import { unmount } from '#src/fuse/mount.js'
import { findMountAt } from '#src/fuse/mountinfo.js'
import { childProgram, runProgram } from './programs.js'

const READY_TIMEOUT_MS = 60_000
const END_TIMEOUT_MS = 20_000
const IDLE_STEP_MS = 150
const IDLE_LIMIT_MS = 60_000

export const PBSFS = new URL('../../bin/pbsfs.js', import.meta.url).pathname

/** One mount and the process that serves it. */
export class Mount {
  readonly path: string
  readonly #id: ProcessId
  readonly #onEnd: (peakBytes: number) => void

  constructor(path: string, id: ProcessId, onEnd: (peakBytes: number) => void) {
    this.path = path
    this.#id = id
    this.#onEnd = onEnd
  }

  get pid(): number {
    return this.#id.pid
  }

  /** Most memory the process ever had resident. */
  peakBytes(): number {
    return this.#memory('VmHWM')
  }

  residentBytes(): number {
    return this.#memory('VmRSS')
  }

  #memory(field: string): number {
    const text = readFileSync(`/proc/${this.pid}/status`, 'latin1')
    return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024
  }

  /** Waits until the process has nothing more to do of its own accord. */
  async idle(): Promise<void> {
    const until = performance.now() + IDLE_LIMIT_MS
    for (let before = -1; performance.now() < until; ) {
      const fields = readFileSync(`/proc/${this.pid}/stat`, 'latin1').split(' ')
      const ticks = Number(fields[13]) + Number(fields[14])
      if (ticks === before) return
      before = ticks
      await sleep(IDLE_STEP_MS)
    }
  }

  async end(): Promise<void> {
    if (isAlive(this.#id)) this.#onEnd(this.peakBytes())
    if (isMounted(this.path)) {
      await unmount(Buffer.from(this.path)).catch(() => unmount(Buffer.from(this.path), { lazy: true }))
    }
    if (!(await waitForExit(this.#id, END_TIMEOUT_MS))) process.kill(this.pid, 'SIGKILL')
    rmSync(this.path, { recursive: true, force: true })
  }
}

function isMounted(path: string): boolean {
  return findMountAt(Buffer.from(path)) !== undefined
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Makes mounts, knows those that are left, and the most memory any of their processes took. */
export class MountSet {
  readonly #folder: string
  readonly #open = new Map<string, Mount | undefined>()
  readonly #peaks = new Map<string, number>()
  #count = 0

  constructor(folder: string) {
    this.#folder = folder
    mkdirSync(folder, { recursive: true })
  }

  /** Most bytes resident, by the label of the mount. */
  get peaks(): ReadonlyMap<string, number> {
    return this.#peaks
  }

  /** An empty folder to mount on; `release` it when nothing is mounted there any more. */
  reserve(): string {
    const path = join(this.#folder, `mount-${++this.#count}`)
    mkdirSync(path)
    this.#open.set(path, undefined)
    return path
  }

  release(path: string): void {
    this.#open.delete(path)
    rmSync(path, { recursive: true, force: true })
  }

  /** SOURCE mounted by the command line of the product, in the background as people do. */
  async product(source: string, label: string, args: readonly string[] = []): Promise<Mount> {
    const path = this.reserve()
    await runProgram(process.execPath, [PBSFS, 'mount', ...args, source, path])
    const mountpoint = Buffer.from(path).toString('hex')
    const found = listRecords(openRuntimeFolder()).find(({ record, alive }) => alive && record.mountpoint === mountpoint)
    if (found === undefined) throw new Error(`${label}: the daemon of ${path} left no record`)
    return this.#add(path, label, found.record)
  }

  /** A mount served by `children/serve.js`. */
  served(setup: Record<string, unknown>, label: string): Promise<Mount> {
    const path = this.reserve()
    const command = [process.execPath, ...DAEMON_FLAGS, ...childProgram('serve', { ...setup, mountpoint: path })]
    return this.#start(path, label, command, (text) => /^ready\n/m.test(text))
  }

  /** A mount of another program, which stays in the foreground. */
  foreign(label: string, command: (path: string) => readonly string[], env: Readonly<Record<string, string>>): Promise<Mount> {
    const path = this.reserve()
    return this.#start(path, label, command(path), () => isMounted(path), env)
  }

  /** Ends whatever is still mounted. */
  async endAll(): Promise<void> {
    for (const [path, mount] of this.#open) {
      await mount?.end().catch(() => undefined)
      if (isMounted(path)) await runProgram('umount', ['-l', '-i', path]).catch(() => undefined)
      this.release(path)
    }
  }

  async #start(
    path: string,
    label: string,
    command: readonly string[],
    isReady: (output: string) => boolean,
    env: Readonly<Record<string, string>> = {},
  ): Promise<Mount> {
    const logPath = `${path}.log`
    const log = openSync(logPath, 'w')
    const [program, ...args] = command
    const child = spawn(program!, args, { stdio: ['ignore', log, log], cwd: '/', env: { ...process.env, ...env } })
    closeSync(log)
    child.on('error', () => undefined)
    const id = readProcessId(child.pid ?? 0)
    if (id === undefined) throw new Error(`${label} could not be started`)
    const mount = this.#add(path, label, id)
    const until = performance.now() + READY_TIMEOUT_MS
    for (;;) {
      const text = readFileSync(logPath, 'latin1')
      if (isReady(text)) return mount
      if (!isAlive(id) || performance.now() > until) {
        await mount.end().catch(() => undefined)
        throw new Error(`${label} could not be mounted: ${text}`)
      }
      await sleep(5)
    }
  }

  #add(path: string, label: string, id: ProcessId): Mount {
    const mount = new Mount(path, id, (bytes) => {
      this.#open.delete(path)
      this.#peaks.set(label, Math.max(bytes, this.#peaks.get(label) ?? 0))
      rmSync(`${path}.log`, { force: true })
    })
    this.#open.set(path, mount)
    return mount
  }
}

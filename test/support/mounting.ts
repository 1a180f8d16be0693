import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { accessSync, chmodSync, chownSync, constants, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findMountAt } from '#src/fuse/mountinfo.js'
import type { ChildSetup } from './fuse-child.js'
import { repoDir } from './golden.js'

const runFile = promisify(execFile)

/** Why nothing can be mounted here, or undefined. */
export function noFuseReason(): string | undefined {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
  } catch {
    return 'skipped: /dev/fuse is absent or not accessible'
  }
  if (process.geteuid?.() !== 0 && !hasProgram('fusermount3')) return 'skipped: neither root nor fusermount3 (package fuse3)'
  return undefined
}

export function hasProgram(name: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, name)))
}

/** An ordinary user for tests that run as root: nobody. */
export const NOBODY = 65534

export interface RunOptions {
  readonly uid?: number
}

/** Runs a program; its standard output. Never synchronously: the test process may serve the mount. */
export async function run(program: string, args: string[], options: RunOptions = {}): Promise<string> {
  const ids = options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }
  const { stdout } = await runFile(program, args, { encoding: 'latin1', maxBuffer: 1 << 26, env: { ...process.env, LC_ALL: 'C' }, ...ids })
  return stdout
}

/** A shell line; its standard output. */
export function sh(line: string, options?: RunOptions): Promise<string> {
  return run('/bin/sh', ['-c', line], options)
}

function startChild(setup: ChildSetup, stdio: ('pipe' | number)[], options: RunOptions): ChildProcess {
  const args = ['--import', join(repoDir, 'test/support/ts-loader.mjs'), join(repoDir, 'test/support/fuse-child.ts')]
  const ids = options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }
  return spawn(process.execPath, [...args, JSON.stringify(setup)], { stdio, cwd: repoDir, ...ids })
}

/** A daemon in a child process and everything needed to end it, come what may. */
export class MountedChild {
  readonly folder: string
  readonly mountpoint: string
  readonly child: ChildProcess
  readonly exited: Promise<number | null>
  #out = ''
  #err = ''
  #listeners: (() => void)[] = []

  private constructor(folder: string, child: ChildProcess, mountpoint = join(folder, 'mnt')) {
    this.folder = folder
    this.mountpoint = mountpoint
    this.child = child
    child.stdout?.on('data', (chunk: Buffer) => {
      this.#out += chunk.toString()
      for (const listener of this.#listeners) listener()
    })
    child.stderr?.on('data', (chunk: Buffer) => (this.#err += chunk.toString()))
    this.exited = new Promise((resolve) => child.on('exit', resolve))
    void this.exited.then(() => {
      for (const listener of this.#listeners) listener()
    })
  }

  static async start(setup: Omit<ChildSetup, 'mountpoint'> = {}, options: RunOptions = {}): Promise<MountedChild> {
    const folder = mkdtempSync(join(tmpdir(), 'pbsfs-mnt-'))
    await run('mkdir', [join(folder, 'mnt')])
    if (options.uid !== undefined) {
      chmodSync(folder, 0o755)
      chownSync(join(folder, 'mnt'), options.uid, options.uid)
    }
    const child = startChild({ ...setup, mountpoint: join(folder, 'mnt') }, ['pipe', 'pipe', 'pipe'], options)
    const mounted = new MountedChild(folder, child)
    try {
      await mounted.waitFor(/^ready .*\n/m)
    } catch (error) {
      await mounted.cleanUp()
      throw error
    }
    return mounted
  }

  /** A daemon for a device that this process mounted on `mountpoint`. */
  static adopt(fd: number, mountpoint: string): MountedChild {
    const folder = mkdtempSync(join(tmpdir(), 'pbsfs-mnt-'))
    return new MountedChild(folder, startChild({ mountpoint: '/dev/fd/3' }, ['pipe', 'pipe', 'pipe', fd], {}), mountpoint)
  }

  get output(): string {
    return this.#out
  }

  get errors(): string {
    return this.#err
  }

  /** The text on standard output that matches; rejects when the child ends without it. */
  async waitFor(pattern: RegExp): Promise<string> {
    for (;;) {
      const match = pattern.exec(this.#out)
      if (match !== null) return match[0]
      if (this.child.exitCode !== null || this.child.signalCode !== null) throw new Error(`child ended: ${this.#out}${this.#err}`)
      await new Promise<void>((resolve) => this.#listeners.push(resolve))
      this.#listeners = []
    }
  }

  /** Sends a command and returns the line that answers it. */
  async ask(command: string): Promise<string> {
    this.#out = ''
    this.child.stdin?.write(command + '\n')
    return (await this.waitFor(/^.*\n/m)).trimEnd()
  }

  isMounted(): boolean {
    return findMountAt(Buffer.from(this.mountpoint)) !== undefined
  }

  /** Leaves nothing behind. */
  async cleanUp(): Promise<void> {
    this.child.kill('SIGKILL')
    while (this.isMounted()) await run('umount', ['-l', '-i', this.mountpoint])
    await this.exited
    rmSync(this.folder, { recursive: true, force: true })
  }
}

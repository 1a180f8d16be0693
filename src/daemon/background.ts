import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { fromPlainError, MountError } from '../errors/errors.js'
import { joinMountInput, type MountConfig } from './mount-config.js'
import { openRuntimeFolder } from './runtime-folder.js'
import { withoutSecrets } from './secret-environment.js'
import { removeStartLog } from './start-log.js'
import { parseStartReport, REPORT_FD, type StartReport } from './start-protocol.js'

export const daemonScript = fileURLToPath(new URL('./daemon-main.js', import.meta.url))

/**
 * What the runtime reads before the first line of ours runs. Each thread that allocates would
 * otherwise get an arena of its own, and keep there what it once used.
 */
const DAEMON_ENV = { UV_THREADPOOL_SIZE: '8', MALLOC_ARENA_MAX: '2' }

/**
 * One thread of the runtime's own, for compiling, and a collector that needs none: more of them take the processors from those who
 * wait for answers while the daemon is new. No flag may be added without a look at the start: most of them (as `--optimize-for-size`)
 * make the compiled code that the runtime brings along unusable, which costs each thread 25 ms.
 */
export const DAEMON_FLAGS = ['--v8-pool-size=1', '--single-threaded-gc']

/** What a daemon that died before its report leaves behind, for the error. */
const MAX_LOG_TAIL = 2_000

/** Mountpoint to give to a daemon that got a channel: the descriptor behind its report. */
export const INHERITED_CHANNEL = `/dev/fd/${REPORT_FD + 1}`

/** Storage that does not answer can keep a mount waiting for ever; whoever waits is told. */
export const WAIT_NOTICE_MS = 5_000

export type StartedMount = Extract<StartReport, { type: 'ready' }>

/** A daemon that has been started and waits for its configuration. */
export interface WaitingDaemon {
  readonly pid: number
  /**
   * Resolves when the mount answers; rejects with the error that kept it from that. `onWait` is
   * called with the seconds waited so far, every `WAIT_NOTICE_MS`. `secrets` (encoded keys) is
   * zeroed when the daemon has it.
   */
  mount(config: MountConfig, onWait?: (seconds: number) => void, secrets?: Uint8Array): Promise<StartedMount>
  /** No mount after all: the daemon ends. */
  dismiss(): void
}

/**
 * Starts a daemon in its own session, in `/`, with nothing of ours but three descriptors: the
 * configuration comes on stdin, stderr is a log in the runtime folder, the report goes to fd 3.
 * It loads its modules while the caller still reads the command line. `channel`: a FUSE device that
 * is mounted already; the daemon has it as `INHERITED_CHANNEL`.
 */
export function startDaemon(script: string = daemonScript, channel?: number): WaitingDaemon {
  const log = openStartLog()
  const child = spawn(process.execPath, [...DAEMON_FLAGS, script], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', log?.fd ?? 'ignore', 'pipe', ...(channel === undefined ? [] : [channel])],
    env: daemonEnvironment(process.env),
  })
  if (log !== undefined) closeSync(log.fd)
  const failed = new Promise<never>((_, reject) => {
    child.once('error', (error) => reject(new MountError('the daemon cannot be started', {}, { cause: error })))
  })
  failed.catch(() => undefined)
  const input = child.stdin as Writable
  // A daemon that died has its own error, told below.
  input.on('error', () => undefined)
  return {
    pid: child.pid ?? 0,
    mount: async (config, onWait, secrets = new Uint8Array(0)) => {
      const stopForwarding = forwardSignals(child)
      const since = Date.now()
      const notice = setInterval(() => onWait?.(Math.round((Date.now() - since) / 1000)), WAIT_NOTICE_MS)
      const message = joinMountInput(config, secrets)
      secrets.fill(0)
      input.end(message, () => message.fill(0))
      try {
        return await Promise.race([awaitReport(child, log?.path), failed])
      } finally {
        clearInterval(notice)
        stopForwarding()
        child.unref()
      }
    },
    dismiss: () => {
      input.end()
      child.unref()
      removeStartLog(log?.path)
      ;(child.stdio[3] as Readable).destroy()
    },
  }
}

/** A daemon connects to nobody: reading a bundle of certificates would only cost its start 65 ms. */
function daemonEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NODE_EXTRA_CA_CERTS: _certificates, ...rest } = withoutSecrets(env)
  return { ...DAEMON_ENV, ...rest }
}

function openStartLog(): { fd: number; path: string } | undefined {
  try {
    const path = join(openRuntimeFolder(), `start-${process.pid}.log`)
    return { fd: openSync(path, 'a', 0o600), path }
  } catch {
    // The daemon says in its own words what is wrong with the runtime folder.
    return undefined
  }
}

async function awaitReport(child: ChildProcess, logPath: string | undefined): Promise<StartedMount> {
  const exit = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : signal))
  })
  let text = ''
  for await (const chunk of (child.stdio[3] as Readable).setEncoding('utf8')) text += chunk as string
  if (text === '') throw new MountError(`the daemon died at its start (${await exit})`, { log: readTail(logPath) })
  const report = parseStartReport(text)
  if (report.type === 'failed') throw fromPlainError(report.error)
  return report
}

function readTail(path: string | undefined): string | undefined {
  if (path === undefined) return undefined
  try {
    const text = readFileSync(path, 'utf8').trim()
    return text === '' ? undefined : text.slice(-MAX_LOG_TAIL)
  } catch {
    return undefined
  }
}

/** Who interrupts the command while it waits means the mount. The daemon then reports its end. */
function forwardSignals(child: ChildProcess): () => void {
  const forward = (signal: NodeJS.Signals) => void child.kill(signal)
  const signals: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, forward)
  return () => {
    for (const signal of signals) process.off(signal, forward)
  }
}

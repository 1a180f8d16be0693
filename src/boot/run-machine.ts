import { spawn } from 'node:child_process'
import { SourceError } from '../errors/errors.js'

/** A machine that is told to end and has not written its last bytes by then is ended by force. */
const ENDING_MS = 15_000

/** How a program ended. */
export interface MachineEnd {
  /** undefined: a signal ended it. */
  readonly code: number | undefined
  readonly signal: NodeJS.Signals | undefined
}

export interface RunningMachine {
  readonly ended: Promise<MachineEnd>
  /** Tells it to end, which it does in order; the second call does not wait. */
  stop(): void
}

/** Starts a program with the terminal of this one. Rejects when it cannot be started. */
export function startMachine(program: string, args: readonly string[], env: NodeJS.ProcessEnv, endingMs = ENDING_MS): Promise<RunningMachine> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit', env })
    let isStopping = false
    let force: NodeJS.Timeout | undefined
    const stop = (): void => {
      child.kill(isStopping ? 'SIGKILL' : 'SIGTERM')
      isStopping = true
      force ??= setTimeout(() => child.kill('SIGKILL'), endingMs)
    }
    const ended = new Promise<MachineEnd>((done) => {
      child.once('exit', (code, signal) => {
        clearTimeout(force)
        done({ code: code ?? undefined, signal: signal ?? undefined })
      })
    })
    child.once('spawn', () => resolve({ ended, stop }))
    child.once('error', (error: NodeJS.ErrnoException) => {
      const { code } = error
      reject(new SourceError(`cannot start ${program} (${code ?? error.message})`, { path: program, operation: 'start', code }, { cause: error }))
    })
  })
}

import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { remedyForFusermount } from '../fuse/fusermount.js'
import type { FromSession, ProcessStart, SessionStart, ToSession } from './messages.js'

/** What a driver wrote on stderr before it failed is told with its failure, this much of it. */
const MAX_COMPLAINT = 500
/** A process that failed has ended by then, and its stderr is complete. */
const FAILURE_DELAY_MS = 1_000

/** How the main thread reaches whoever serves the mount: a thread or a process. */
export interface SessionChannel {
  send(message: ToSession | SessionStart): void
  kill(): void
}

export interface SessionListeners {
  onMessage(message: FromSession): void
  onError(error: unknown): void
  /** It is gone; nothing comes after this. `how`: exit code or signal. */
  onExit(how: string): void
}

export const threadScript = new URL('./session-thread.js', import.meta.url)
export const processScript = new URL('./session-process.js', import.meta.url)

/** Enough for the garbage of a busy mount; the default is six times as much. */
const SESSION_YOUNG_MB = 8

export function openThread(script: URL, listeners: SessionListeners): SessionChannel {
  const worker = new Worker(script, { name: 'pbsfs-session', resourceLimits: { maxYoungGenerationSizeMb: SESSION_YOUNG_MB } })
  worker.on('message', (message: FromSession) => listeners.onMessage(message))
  worker.on('messageerror', (error) => listeners.onError(error))
  worker.on('error', (error) => listeners.onError(error))
  worker.on('exit', (code) => listeners.onExit(`code ${code}`))
  return {
    send: (message) => worker.postMessage(message),
    kill: () => void worker.terminate().catch(() => undefined),
  }
}

/** A process of its own. What it writes on stderr is logged, and added to what it says of a failure. */
export function openProcess(script: URL, listeners: SessionListeners): SessionChannel {
  const child = fork(fileURLToPath(script), { cwd: '/', execArgv: [], stdio: ['pipe', 'ignore', 'pipe', 'ipc'] })
  // Who has gone is told of by `onExit`.
  child.stdin!.on('error', () => undefined)
  const send = (message: ToSession | ProcessStart): void => void (child.connected && child.send(message, () => undefined))
  let complaint = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-MAX_COMPLAINT)
    for (const line of text.split('\n')) {
      if (line.trim() !== '') listeners.onMessage({ type: 'log', level: 'warn', message: `driver: ${line.trim()}` })
    }
  })
  const disconnected = new Promise<void>((resolve) => child.once('disconnect', resolve))
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  child.on('message', (message) => {
    const received = message as FromSession
    if (received.type !== 'failed') return listeners.onMessage(received)
    const tell = (): void => listeners.onMessage(withComplaint(received, complaint.trim()))
    void Promise.race([closed, new Promise((resolve) => setTimeout(resolve, FAILURE_DELAY_MS).unref())]).then(tell)
  })
  child.on('error', (error) => listeners.onError(error))
  child.on('exit', (code, signal) => {
    void Promise.all([disconnected, closed]).then(() => listeners.onExit(signal ?? `code ${code}`))
  })
  return {
    send: (message) => {
      if (message.type !== 'start') return send(message)
      const { secrets, ...start } = message
      // Not in the message: that is copied on its way, and the copies stay in memory.
      const keys = Buffer.from(secrets)
      child.stdin!.end(keys, () => keys.fill(0))
      send({ ...start, secretBytes: keys.length })
    },
    kill: () => void child.kill('SIGKILL'),
  }
}

function withComplaint(failure: Extract<FromSession, { type: 'failed' }>, complaint: string): FromSession {
  const { error } = failure
  if (complaint === '' || error.tag !== 'mount') return failure
  const remedy = remedyForFusermount(complaint)
  const fields = remedy === undefined ? error.fields : { ...error.fields, remedy: `Please ${remedy}.` }
  return { type: 'failed', error: { ...error, message: `${error.message}: ${complaint.replaceAll('\n', '; ')}`, fields } }
}

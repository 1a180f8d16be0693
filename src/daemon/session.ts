import { fromPlainError, MountError } from '../errors/errors.js'
import { deferred } from './deferred.js'
import type { FromSession, SessionEnd, SessionStart, ToSession } from './messages.js'
import type { DaemonLog } from './log.js'
import { openProcess, openThread, processScript, threadScript } from './session-channel.js'
import { withTimeout } from './with-timeout.js'
import { isSessionStatus, type SessionStatus } from './status.js'

/** The session thread as the main thread sees it. */
export interface Session {
  logTo(log: DaemonLog): void
  /** Once: what to serve. */
  start(data: Omit<SessionStart, 'type'>): void
  /** The mount answers. Rejects with what kept it from that. */
  readonly ready: Promise<void>
  /** The channel is closed. Rejects when the thread failed; after that nobody serves the mount. */
  readonly ended: Promise<SessionEnd>
  /** undefined: no answer in time. */
  status(timeoutMs: number): Promise<SessionStatus | undefined>
  /** Leave the device at once, mounted or not. */
  stop(): void
  /** Ends the thread; false when it is still not gone after the time (it waits in the kernel). */
  terminate(timeoutMs: number): Promise<boolean>
}

/**
 * Starts the thread, which loads its modules and waits for `start`; so it can be called before it
 * is known what will be mounted. What it logs before `logTo` is kept for then.
 */
export function openSession(script: URL = threadScript): Session {
  return openSessionOn(openThread, script)
}

/** The same in a process of its own, for a driver that needs one. */
export function openProcessSession(script: URL = processScript): Session {
  return openSessionOn(openProcess, script)
}

function openSessionOn(open: typeof openThread, script: URL): Session {
  const ready = deferred<void>()
  const ended = deferred<SessionEnd>()
  const exited = deferred<void>()
  const questions = new Map<number, (status: SessionStatus | undefined) => void>()
  const early: Extract<FromSession, { type: 'log' }>[] = []
  let log: DaemonLog | undefined
  let lastId = 0
  let terminated: Promise<boolean> | undefined

  const fail = (error: unknown) => {
    ready.reject(error)
    ended.reject(error)
  }
  const onMessage = (message: FromSession) => {
    switch (message.type) {
      case 'ready':
        return ready.resolve()
      case 'ended':
        ready.reject(new MountError('the mount was taken away before it answered'))
        return ended.resolve(message.reason)
      case 'failed':
        return fail(fromPlainError(message.error))
      case 'log':
        return log === undefined ? void early.push(message) : log.write(message.level, message.message, message.fields)
      case 'status':
        return questions.get(message.id)?.(isSessionStatus(message.status) ? message.status : undefined)
    }
  }
  const onExit = (how: string) => {
    // Too late to matter when the end was told before.
    fail(new Error(`the session thread ended without a word (${how})`))
    exited.resolve()
  }
  const channel = open(script, { onMessage, onError: fail, onExit })
  const send = (message: ToSession | SessionStart) => channel.send(message)

  return {
    logTo: (target) => {
      log = target
      for (const { level, message, fields } of early.splice(0)) target.write(level, message, fields)
    },
    start: (data) => send({ type: 'start', ...data }),
    ready: ready.promise,
    ended: ended.promise,
    status: (timeoutMs) =>
      new Promise((resolve) => {
        const id = ++lastId
        const finish = (status: SessionStatus | undefined) => {
          clearTimeout(timer)
          questions.delete(id)
          resolve(status)
        }
        const timer = setTimeout(() => finish(undefined), timeoutMs)
        questions.set(id, finish)
        send({ type: 'status', id })
      }),
    stop: () => send({ type: 'stop' }),
    terminate: (timeoutMs) => {
      if (terminated === undefined) {
        channel.kill()
        terminated = withTimeout(exited.promise, timeoutMs)
      }
      return terminated
    },
  }
}

import type { ErrorFields, PlainError } from '../errors/errors.js'
import type { LogLevel } from './log-level.js'
import type { MountConfig } from './mount-config.js'
import type { SessionStatus } from './status.js'

/** The first message to the session thread: what it shall serve. */
export interface SessionStart {
  readonly type: 'start'
  /** The mounted FUSE channel; -1 for a driver that mounts by itself. */
  readonly fd: number
  /** Hex, canonical. */
  readonly mountpoint: string
  /** Shown as the source of the mount. */
  readonly source: string
  readonly config: MountConfig
  /** Encoded keys; the receiver zeroes them. */
  readonly secrets: Uint8Array
}

/** The start as it reaches a process: the keys follow on its stdin, `secretBytes` of them. */
export type ProcessStart = Omit<SessionStart, 'secrets'> & { readonly secretBytes: number }

/** How a session came to its end without a failure. */
export type SessionEnd = 'unmounted' | 'aborted' | 'stopped'

/** Session thread to main thread. `ready` once, before it nothing but `log` and `failed`. */
export type FromSession =
  | { readonly type: 'ready' }
  | { readonly type: 'ended'; readonly reason: SessionEnd }
  | { readonly type: 'failed'; readonly error: PlainError }
  | { readonly type: 'log'; readonly level: LogLevel; readonly message: string; readonly fields?: ErrorFields }
  | { readonly type: 'status'; readonly id: number; readonly status: SessionStatus }

/** Main thread to session thread, after the start. `stop`: leave the device at once, mounted or not. */
export type ToSession = { readonly type: 'status'; readonly id: number } | { readonly type: 'stop' }

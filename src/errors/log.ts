import type { ErrorFields } from './errors.js'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/**
 * Structured log, passed in by whoever composes; there is no global one. A record is one event:
 * a constant message and fields. Never throws. Keys and tokens never go in.
 */
export interface Log {
  debug(message: string, fields?: ErrorFields): void
  info(message: string, fields?: ErrorFields): void
  warn(message: string, fields?: ErrorFields): void
  error(message: string, fields?: ErrorFields): void
}

const nothing = () => undefined

/** For callers that have no log. */
export const noLog: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing }

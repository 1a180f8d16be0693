import type { ErrorFields } from './errors.js'

/** Where records go is the composer's business; everything below gets one of these handed in. */
export interface Log {
  debug(message: string, fields?: ErrorFields): void
  info(message: string, fields?: ErrorFields): void
  warn(message: string, fields?: ErrorFields): void
  error(message: string, fields?: ErrorFields): void
}

export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
}

import { FormatError, type PlainError } from '../errors/errors.js'

/** The descriptor on which a daemon tells its starter, once, how the start went. */
export const REPORT_FD = 3

/** One line of JSON. Paths are escaped text. */
export type StartReport =
  | { readonly type: 'ready'; readonly pid: number; readonly mountpoint: string; readonly log: string; readonly remarks: readonly string[] }
  | { readonly type: 'failed'; readonly error: PlainError }

export function parseStartReport(text: string): StartReport {
  const value: unknown = JSON.parse(text)
  if (typeof value === 'object' && value !== null && 'type' in value) {
    if (value.type === 'ready' || value.type === 'failed') return value as StartReport
  }
  throw new FormatError('the daemon answered with something else', { stream: 'pipe' })
}

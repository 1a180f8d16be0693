import { AbortedError } from '../errors/errors.js'
import { hasColors, paint } from './colors.js'

/** Where a command's text goes; a parameter so that a command runs in-process in tests. */
export interface Output {
  /** Results. Lines end with a line end of their own; bytes go out as they are. */
  out(text: string | Uint8Array): void
  /** Everything else: errors, remarks, progress. */
  err(text: string): void
  /** Width of the terminal of `out` in columns; undefined: not a terminal. */
  readonly columns: number | undefined
  /** What goes to `out` may have colours; absent: no. */
  readonly colors?: boolean
  /** Why nothing more reaches `out`; absent: it does. */
  readonly failure?: Error | undefined
}

/** For what is printed piece by piece: AbortedError when nobody gets it, so that no more is looked for. */
export function stream(output: Output, text: string | Uint8Array): void {
  if (output.failure !== undefined) throw new AbortedError('the output takes nothing more')
  output.out(text)
}

/** Has whoever read the output enough? That is no failure of ours. */
export function isReaderGone(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === 'EPIPE'
}

/** In front of every error. */
const PREFIX = 'pbsfs:'

export const processOutput: Output = {
  out: (text) => void process.stdout.write(text),
  err: (text) => {
    const on = text.startsWith(PREFIX) && hasColors(process.stderr, process.env)
    process.stderr.write(on ? paint(PREFIX, 'red', on) + text.slice(PREFIX.length) : text)
  },
  get columns() {
    return process.stdout.isTTY ? process.stdout.columns : undefined
  },
  get colors() {
    return hasColors(process.stdout, process.env)
  },
  get failure() {
    return refused ?? process.stdout.errored ?? undefined
  },
}

/** The stream itself forgets its error: it lets nobody close it. */
let refused: Error | undefined

/** What the system refuses to write is no uncaught exception: `failure` has it, and what goes to stderr has nobody else to tell. */
export function keepWriteErrors(): void {
  process.stdout.on('error', (error: Error) => {
    refused ??= error
  })
  process.stderr.on('error', () => undefined)
}

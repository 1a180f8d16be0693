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
}

/** Where a command's text goes; a parameter so that a command runs in-process in tests. */
export interface Output {
  /** Results. Lines end with a line end of their own; bytes go out as they are. */
  out(text: string | Uint8Array): void
  /** Everything else: errors, remarks, progress. */
  err(text: string): void
  /** Width of the terminal of `out` in columns; undefined: not a terminal. */
  readonly columns: number | undefined
}

export const processOutput: Output = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  get columns() {
    return process.stdout.isTTY ? process.stdout.columns : undefined
  },
}

import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { repoDir } from './golden.js'

/** What is waited for must come by then, on a busy machine. */
const WAIT_MS = 30_000

export const KEY = { interrupt: '\x03', end: '\x04', tab: '\t', enter: '\r' } as const

export interface TerminalOptions {
  readonly columns?: number
  readonly rows?: number
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

/** A program on a terminal of its own (python3 makes it): its screen is read, and keys are typed. */
export class Terminal {
  readonly columns: number
  readonly #child: ChildProcess
  readonly #ended: Promise<number>
  readonly #waiting = new Set<() => void>()
  #shown = ''
  #isOver = false

  constructor(program: string, args: readonly string[], options: TerminalOptions = {}) {
    const { columns = 80, rows = 24 } = options
    this.columns = columns
    this.#child = spawn('python3', [join(repoDir, 'test/support/terminal.py'), String(columns), String(rows), program, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
      cwd: options.cwd,
      env: { ...process.env, LC_ALL: 'C.UTF-8', TERM: 'xterm', NO_COLOR: undefined, FORCE_COLOR: undefined, CI: undefined, ...options.env },
    })
    this.#child.stdout!.setEncoding('utf8')
    this.#child.stdout!.on('data', (text: string) => {
      this.#shown += text
      for (const look of this.#waiting) look()
    })
    this.#child.stdin!.on('error', () => undefined)
    this.#ended = new Promise((resolve) => {
      this.#child.on('close', (code) => {
        this.#isOver = true
        for (const look of this.#waiting) look()
        resolve(code ?? 137)
      })
    })
  }

  /** Everything the terminal got, with its control sequences. */
  get bytes(): string {
    return this.#shown
  }

  /** The lines as a person sees them at this moment, without blanks at their ends. */
  get lines(): string[] {
    return renderLines(this.#shown, this.columns)
  }

  type(keys: string): void {
    this.#child.stdin!.write(keys)
  }

  /** Resolves when what the terminal got since the beginning (or `from`) matches; rejects with the screen when it does not come. */
  async waitFor(pattern: RegExp, from = 0): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(look)
      }
      const look = (): void => {
        const match = pattern.exec(this.#shown.slice(from))
        if (match === null && !this.#isOver) return
        finish()
        if (match !== null) resolve(match)
        else reject(new Error(`the program ended, and ${String(pattern)} did not come:\n${this.lines.join('\n')}`))
      }
      const timer = setTimeout(() => {
        finish()
        reject(new Error(`${String(pattern)} did not come:\n${this.lines.join('\n')}\n${JSON.stringify(this.#shown.slice(-2000))}`))
      }, WAIT_MS)
      this.#waiting.add(look)
      look()
    })
  }

  /** The exit code; resolves when the program has ended and all it wrote is there. */
  end(): Promise<number> {
    return this.#ended
  }

  /** Ends the program when it is still there. */
  async close(): Promise<void> {
    if (!this.#isOver) this.#child.stdin!.write(KEY.interrupt)
    this.#child.stdin!.end()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 2000)
    await this.#ended
    clearTimeout(timer)
  }
}

/** What stays on a terminal that got this: line ends, carriage returns, backspace and erasing are followed, colours left out. */
export function renderLines(text: string, columns: number): string[] {
  const lines: string[][] = [[]]
  let row = 0
  let column = 0
  for (const [token] of text.matchAll(/\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[=>]|\x1b\][^\x07]*\x07|[^]/gu)) {
    const line = (lines[row] ??= [])
    if (token === '\n') row++
    else if (token === '\r') column = 0
    else if (token === '\b') column = Math.max(0, column - 1)
    else if (token === '\x1b[K' || token === '\x1b[0K') line.length = Math.min(line.length, column)
    else if (!token.startsWith('\x1b') && token >= ' ') {
      if (column === columns) {
        row++
        column = 0
      }
      const at = (lines[row] ??= [])
      while (at.length < column) at.push(' ')
      at[column++] = token
    }
  }
  return lines.map((line) => (line ?? []).join('').trimEnd())
}

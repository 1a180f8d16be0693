import { formatDuration, formatSize } from './parse-size.js'
import { cutToWidth } from './text-width.js'

/** How often a bar is drawn anew, and a line written where there is no terminal, in ms. */
const BAR_MS = 200
const LINE_MS = 10_000

const BAR_WIDTH = 24

export interface ProgressOutput {
  /** Is it a terminal, whose line can be written again? */
  readonly isTerminal: boolean
  readonly columns: number
  write(text: string): void
}

export interface ProgressState {
  /** What is going on, safe to print. */
  readonly label: string
  readonly done: number
  readonly total: number
  /** Bytes so far, for the rate; 0: the rate is that of `done`. */
  readonly bytes: number
  /** Stands for "DONE of TOTAL", where those count nothing that means something to a person. */
  readonly counts?: () => string
  /** What is being worked on, safe to print; cut off where there is no room. */
  readonly current?: () => string
}

export const stderrProgress: ProgressOutput = {
  get isTerminal() {
    return process.stderr.isTTY && process.env['TERM'] !== 'dumb'
  },
  get columns() {
    return process.stderr.isTTY ? process.stderr.columns : 80
  },
  write: (text) => void process.stderr.write(text),
}

/** A progress bar with rate and time left on a terminal, a line now and then elsewhere. */
export class Progress {
  readonly #output: ProgressOutput
  readonly #now: () => number
  #label = ''
  #since = 0
  #drawn = -Infinity
  #shown = false

  constructor(output: ProgressOutput = stderrProgress, now: () => number = () => performance.now()) {
    this.#output = output
    this.#now = now
  }

  update(state: ProgressState): void {
    const now = this.#now()
    if (state.label !== this.#label) {
      this.#label = state.label
      this.#since = now
      // A line is for work that takes long.
      this.#drawn = this.#output.isTerminal ? -Infinity : now
    }
    if (now - this.#drawn < (this.#output.isTerminal ? BAR_MS : LINE_MS)) return
    this.#drawn = now
    const text = this.#describe(state, (now - this.#since) / 1000)
    if (!this.#output.isTerminal) return this.#output.write(`${text}\n`)
    this.#shown = true
    this.#output.write(`\r\x1b[K${cutToWidth(text, this.#output.columns - 1)}`)
  }

  /** Takes the bar away. */
  end(): void {
    if (this.#shown) this.#output.write('\r\x1b[K')
    this.#shown = false
  }

  #describe({ label, done, total, bytes, counts, current }: ProgressState, seconds: number): string {
    const share = total === 0 ? 1 : Math.min(1, done / total)
    const filled = Math.floor(share * BAR_WIDTH)
    const bar = this.#output.isTerminal ? `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}] ` : ''
    const speed = bytes > 0 ? `${formatSize(bytes / seconds)}/s` : `${formatRate(done / seconds)}/s`
    const rate = seconds > 0 && done > 0 ? `, ${speed}` : ''
    const left = share > 0 && share < 1 && seconds > 1 ? `, ${formatDuration((seconds / share) * (1 - share))} left` : ''
    const what = current === undefined ? '' : `  ${current()}`
    return `${label} ${bar}${Math.floor(share * 100)} % (${counts?.() ?? `${done} of ${total}`})${rate}${left}${what}`
  }
}

function formatRate(perSecond: number): string {
  return perSecond >= 10 ? String(Math.round(perSecond)) : perSecond.toFixed(1)
}

import { formatDuration, formatSize } from './parse-size.js'
import { cutToWidth, endOfWidth, widthOf } from './text-width.js'

/** How often a bar is drawn anew, and a line written where there is no terminal, in ms. */
const BAR_MS = 200
const LINE_MS = 10_000

/** Columns of the bar, where there is room and where there is not. */
const BAR_WIDTH = 24
const NARROW_BAR = 8

/** Columns that what is being worked on shall have at least. */
const NAME_WIDTH = 16

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
    const speed = bytes > 0 ? `${formatSize(bytes / seconds)}/s` : `${formatRate(done / seconds)}/s`
    const rate = seconds > 0 && done > 0 ? `, ${speed}` : ''
    const left = share > 0 && share < 1 && seconds > 1 ? `, ${formatDuration((seconds / share) * (1 - share))} left` : ''
    const percent = `${Math.floor(share * 100)} %`
    const full = `${percent} (${counts?.() ?? `${done} of ${total}`})${rate}${left}`
    const what = current === undefined ? '' : `  ${current()}`
    if (!this.#output.isTerminal) return `${label} ${full}${what}`
    // What is narrow loses the length of the bar first, then the counts: how long it takes and where it is stay.
    const room = this.#output.columns - 1 - widthOf(label) - ' [] '.length - Math.min(widthOf(what), NAME_WIDTH)
    const text = room - widthOf(full) < NARROW_BAR ? `${percent}${rate}${left}` : full
    const width = Math.max(NARROW_BAR, Math.min(BAR_WIDTH, room - widthOf(text)))
    const filled = Math.floor(share * width)
    const line = `${label} [${'#'.repeat(filled)}${'.'.repeat(width - filled)}] ${text}`
    return line + endOfPath(what, this.#output.columns - 1 - widthOf(line))
  }
}

/** A path that is too long keeps its end. */
function endOfPath(text: string, columns: number): string {
  return widthOf(text) <= columns ? text : columns < NAME_WIDTH ? '' : `  ...${endOfWidth(text, columns - '  ...'.length)}`
}

function formatRate(perSecond: number): string {
  return perSecond >= 10 ? String(Math.round(perSecond)) : perSecond.toFixed(1)
}

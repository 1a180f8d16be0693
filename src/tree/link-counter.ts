import { FOREVER } from './tree.js'

/** How long a stat waits for the counts, in ms from the first one that asked. */
const PATIENCE_MS = 250

/** Validity of a count that may still change, in seconds. */
const GUESS_TTL = 1

export type LinkScan = (signal: AbortSignal) => Promise<ReadonlyMap<number, number>>

/**
 * Link counts of one archive. The format stores none: they come from one pass over the
 * metadata. Until it is done a file may have other names, so it counts 2: copy tools then keep
 * track of it and no hard link is lost.
 */
export class LinkCounter {
  readonly #scan: LinkScan
  readonly #report: (error: unknown) => void
  readonly #abort = new AbortController()
  #counts: ReadonlyMap<number, number> | undefined
  #running: Promise<void> | undefined
  #patience: Promise<void> | undefined
  #impatient = false

  constructor(scan: LinkScan, report: (error: unknown) => void) {
    this.#scan = scan
    this.#report = report
  }

  /** Starts the pass, once. */
  start(): void {
    this.#running ??= this.#scan(this.#abort.signal).then(
      (counts) => {
        this.#counts = counts
      },
      (error: unknown) => {
        this.#impatient = true
        if (!this.#abort.signal.aborted) this.#report(error)
      },
    )
  }

  /** Resolves when the counts are there or patience has run out; undefined: no need to wait. */
  wait(): Promise<void> | undefined {
    if (this.#counts !== undefined || this.#impatient) return undefined
    this.start()
    this.#patience ??= this.#waitOnce()
    return this.#patience
  }

  get exact(): boolean {
    return this.#counts !== undefined
  }

  /** Link count of the file whose FILENAME item is at `offset`. */
  count(offset: number): number {
    return this.#counts === undefined ? 2 : (this.#counts.get(offset) ?? 1)
  }

  /** How long a count may be believed, in seconds. */
  get ttl(): number {
    return this.#counts === undefined ? GUESS_TTL : FOREVER
  }

  stop(): void {
    this.#abort.abort()
  }

  async #waitOnce(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.#impatient = true
        resolve()
      }, PATIENCE_MS)
    })
    await Promise.race([this.#running, timeout])
    clearTimeout(timer)
  }
}

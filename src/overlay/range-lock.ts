interface Holder {
  readonly from: number
  readonly to: number
  readonly done: Promise<void>
}

/** Lets those who work on the same bytes go one after the other, in the order they asked. */
export class RangeLock {
  readonly #holders = new Set<Holder>()

  /** Runs `work` when all that overlaps `[from, to)` and asked before is done, well or not. */
  async run<T>(from: number, to: number, work: () => Promise<T>): Promise<T> {
    const before = [...this.#holders].filter((other) => other.from < to && from < other.to).map(({ done }) => done)
    let finish!: () => void
    const holder: Holder = { from, to, done: new Promise((resolve) => (finish = resolve)) }
    this.#holders.add(holder)
    try {
      if (before.length > 0) await Promise.all(before)
      return await work()
    } finally {
      this.#holders.delete(holder)
      finish()
    }
  }
}

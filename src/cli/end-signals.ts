const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Takes the signals that end a program, for one that has to tidy up: somebody listens, now or later. */
export class EndSignals {
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#seen.push(signal)
    this.#listener?.(signal)
  }
  readonly #seen: NodeJS.Signals[] = []
  #listener: ((signal: NodeJS.Signals) => void) | undefined

  constructor() {
    for (const name of SIGNALS) process.on(name, this.#onSignal)
  }

  /** Calls the listener once for every signal, those of before at once. It takes the place of another one. */
  listen(listener: (signal: NodeJS.Signals) => void): void {
    this.#listener = listener
    for (const signal of this.#seen) listener(signal)
  }

  /** Gives the signals their usual meaning back. */
  end(): void {
    for (const name of SIGNALS) process.off(name, this.#onSignal)
  }
}

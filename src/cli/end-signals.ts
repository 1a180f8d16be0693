const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Takes the signals that end a program, for one that has to tidy up: somebody listens, now or later. */
export class EndSignals {
  readonly #onSignal = (): void => {
    this.#count++
    this.#listener?.()
  }
  #count = 0
  #listener: (() => void) | undefined

  constructor() {
    for (const name of SIGNALS) process.on(name, this.#onSignal)
  }

  /** Calls the listener once for every signal, those of before at once. It takes the place of another one. */
  listen(listener: () => void): void {
    this.#listener = listener
    for (let i = 0; i < this.#count; i++) listener()
  }

  /** Gives the signals their usual meaning back. */
  end(): void {
    for (const name of SIGNALS) process.off(name, this.#onSignal)
  }
}

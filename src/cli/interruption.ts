const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Turns the signals that end a program into an AbortSignal, so that what is half-done is tidied up; a second one ends at once. */
export class Interruption {
  readonly #controller = new AbortController()
  readonly #listener = (): void => {
    this.end()
    this.#controller.abort()
  }

  constructor() {
    for (const name of SIGNALS) process.on(name, this.#listener)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Gives the signals their usual meaning back. */
  end(): void {
    for (const name of SIGNALS) process.removeListener(name, this.#listener)
  }
}

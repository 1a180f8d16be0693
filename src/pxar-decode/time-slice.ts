import { setImmediate as nextTurn } from 'node:timers/promises'
import { AbortedError } from '../errors/errors.js'

/** Long work beside a thread's other duties: cut into slices, between which the event loop turns. */
export class TimeSlice {
  readonly #sliceMs: number
  readonly #signal: AbortSignal | undefined
  #start = performance.now()

  constructor(sliceMs: number, signal?: AbortSignal) {
    this.#sliceMs = sliceMs
    this.#signal = signal
  }

  /**
   * Gives the event loop a turn if the slice is used up, and then resolves to true: peeked views
   * are gone. False: go on. Rejects with AbortedError once the signal is aborted.
   */
  pause(): Promise<true> | false {
    if (performance.now() - this.#start < this.#sliceMs) return false
    return this.#turn()
  }

  /** Throws AbortedError once the signal is aborted. */
  check(): void {
    if (this.#signal?.aborted === true) throw new AbortedError('aborted', {}, { cause: this.#signal.reason })
  }

  async #turn(): Promise<true> {
    await nextTurn()
    this.check()
    this.#start = performance.now()
    return true
  }
}

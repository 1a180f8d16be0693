import type { Worker } from 'node:worker_threads'
import { startStoreThread } from '../source/start-store-thread.js'
import { startDecodeThread } from '../workers/start-decode-thread.js'

/** A thread that nobody uses yet. It does not keep the process alive. */
class Spare {
  readonly #worker: Worker
  readonly #leave = (): void => void (this.#usable = false)
  #usable = true

  constructor(worker: Worker) {
    this.#worker = worker
    worker.unref()
    worker.on('error', this.#leave)
    worker.on('exit', this.#leave)
  }

  take(): Worker | undefined {
    if (!this.#usable) return undefined
    this.#usable = false
    this.#worker.off('error', this.#leave)
    this.#worker.off('exit', this.#leave)
    return this.#worker
  }

  end(): void {
    if (!this.#usable) return
    this.#usable = false
    void this.#worker.terminate()
  }
}

/**
 * Threads that a datastore needs, started before it is known which datastore: they load their
 * modules while the caller loads its own. One that has failed meanwhile is not handed out; the one
 * started in its place then says why.
 */
export class SpareThreads {
  readonly #store = new Spare(startStoreThread())
  readonly #decoder = new Spare(startDecodeThread())

  takeStore(): Worker | undefined {
    return this.#store.take()
  }

  takeDecoder(): Worker | undefined {
    return this.#decoder.take()
  }

  /** Ends those that were not taken. */
  end(): void {
    this.#store.end()
    this.#decoder.end()
  }
}

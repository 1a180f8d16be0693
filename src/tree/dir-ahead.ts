/** Directories decoded ahead of a walk that nobody has entered yet. */
const AHEAD = 8

/** Directories remembered as next; a walk of a wider tree starts anew there. */
const QUEUE = 16_384

/**
 * Decodes directories before they are entered: who lists a directory usually goes on to those in
 * it, in their order. Works between requests, a few directories ahead, and rests when nobody
 * follows.
 */
export class DirAhead {
  readonly #decode: (end: number) => Promise<unknown>
  /** Directories to come, the next one last. */
  readonly #queue: number[] = []
  /** Decoded, not entered. */
  readonly #ready = new Set<number>()
  #running = false

  constructor(decode: (end: number) => Promise<unknown>) {
    this.#decode = decode
  }

  /** A directory was listed to its end; `children` are the directories in it, in order. */
  listed(children: readonly number[]): void {
    for (let i = children.length - 1; i >= 0; i--) this.#queue.push(children[i]!)
    if (this.#queue.length > QUEUE) this.#queue.splice(0, this.#queue.length - QUEUE)
    this.#schedule()
  }

  /** Somebody entered a directory. */
  entered(end: number): void {
    if (this.#ready.delete(end)) this.#schedule()
  }

  stop(): void {
    this.#queue.length = 0
  }

  #schedule(): void {
    if (this.#running || this.#queue.length === 0 || this.#ready.size >= AHEAD) return
    this.#running = true
    setImmediate(() => void this.#next())
  }

  async #next(): Promise<void> {
    const end = this.#queue.pop()
    if (end !== undefined) {
      this.#ready.add(end)
      // Whoever enters it will hear what is wrong with it.
      await this.#decode(end).catch(() => undefined)
    }
    this.#running = false
    this.#schedule()
  }
}

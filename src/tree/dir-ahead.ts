/** Directories remembered as next; a walk of a wider tree starts anew there. */
const QUEUE = 16_384

export interface DirAheadOptions {
  /** Directories decoded ahead of a walk that nobody has entered yet. */
  readonly ahead: number
  /** Directories that must have been entered in their order before anything is decoded ahead. */
  readonly evidence: number
}

const DEFAULT_OPTIONS: DirAheadOptions = { ahead: 8, evidence: 0 }

/**
 * Decodes directories before they are entered: who lists a directory usually goes on to those in
 * it, in their order. Works between requests, a few directories ahead, and rests when nobody
 * follows.
 */
export class DirAhead {
  readonly #decode: (end: number) => Promise<unknown>
  readonly #options: DirAheadOptions
  /** Directories to come, the next one last. */
  readonly #queue: number[] = []
  /** Decoded, not entered. */
  readonly #ready = new Set<number>()
  /** Directories entered one after the other in their order. */
  #followed = 0
  #running = false

  constructor(decode: (end: number) => Promise<unknown>, options: Partial<DirAheadOptions> = {}) {
    this.#decode = decode
    this.#options = { ...DEFAULT_OPTIONS, ...options }
  }

  /** A directory was listed to its end; `children` are the directories in it, in order. */
  listed(children: readonly number[]): void {
    for (let i = children.length - 1; i >= 0; i--) this.#queue.push(children[i]!)
    if (this.#queue.length > QUEUE) this.#queue.splice(0, this.#queue.length - QUEUE)
    this.#schedule()
  }

  /** Somebody entered a directory. */
  entered(end: number): void {
    if (this.#follows(end)) this.#followed++
    else this.#forget()
    this.#schedule()
  }

  stop(): void {
    this.#queue.length = 0
  }

  /** Is it one of those to come? What was to come before it was left out. */
  #follows(end: number): boolean {
    if (this.#ready.delete(end)) return true
    const at = this.#queue.lastIndexOf(end)
    if (at < 0) return false
    this.#queue.length = at
    return true
  }

  /** A walk begins elsewhere. */
  #forget(): void {
    this.#queue.length = 0
    this.#ready.clear()
    this.#followed = 0
  }

  #schedule(): void {
    const { ahead, evidence } = this.#options
    if (this.#running || this.#queue.length === 0 || this.#ready.size >= ahead || this.#followed < evidence) return
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

import type { ErrorFields } from '../errors/errors.js'

/** A chain of causes longer than this is a circle. */
const MAX_CAUSES = 8

/**
 * What a command says on stderr while it looks into a source, each thing once. A remark with a remedy is what stands
 * against opening something: it waits until it is known whether the command ends with it, whose error says it again.
 */
export class ToldOnce {
  readonly #tell: (message: string, fields?: ErrorFields) => void
  readonly #waiting = new Set<string>()
  /** What was told of things that cannot be opened; bounded by the number of snapshots. */
  readonly #told = new Set<string>()

  constructor(tell: (message: string, fields?: ErrorFields) => void) {
    this.#tell = tell
  }

  /** Noticed on the way; perhaps nobody needs what it is about. */
  remark(message: string, fields?: ErrorFields): void {
    if (fields?.['remedy'] === undefined) this.#tell(message, fields)
    else if (!this.#told.has(message)) this.#waiting.add(message)
  }

  /** Met by the command, which goes on. */
  problem(message: string, fields: ErrorFields): void {
    if (this.#told.has(message)) return
    // The remark names its place itself.
    if (!this.#waiting.delete(message)) return this.#tell(message, fields)
    this.#told.add(message)
    this.#tell(message)
  }

  /** The command is done, or ends with `error`, which is told elsewhere. */
  end(error?: unknown): void {
    for (let cause = error, depth = 0; cause instanceof Error && depth < MAX_CAUSES; cause = cause.cause, depth++) this.#waiting.delete(cause.message)
    for (const message of this.#waiting) this.#tell(message)
    this.#waiting.clear()
  }
}

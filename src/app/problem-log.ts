import { isPbsfsError, KeyError, messageOf, type ErrorFields } from '../errors/errors.js'
import { escapeText } from '../bytes/names.js'

/** Different problems kept; the oldest goes when there are more. */
const KEPT = 1000

/** How long `render` waits for what is found out about a problem. */
const TRACKED_MS = 1000

export interface Problem {
  /** ISO 8601, UTC; of the last time it was seen. */
  readonly time: string
  readonly message: string
  readonly fields: Readonly<Record<string, string | number | boolean>>
  readonly count: number
}

/** What went wrong since the start, each thing once with a count. */
export class ProblemLog {
  readonly #problems = new Map<string, Problem>()
  readonly #tracked = new Set<Promise<void>>()
  #count = 0
  #keys = 0

  /** Returns true when this is the first time. */
  add(error: unknown, context: ErrorFields = {}): boolean {
    const message = messageOf(error)
    const fields = fieldsOf(error, context)
    const key = keyOf(error, context)
    const known = this.#problems.get(key)
    this.#count++
    if (error instanceof KeyError) this.#keys++
    this.#problems.delete(key)
    this.#problems.set(key, {
      time: new Date().toISOString(),
      message,
      fields: known?.fields ?? fields,
      count: (known?.count ?? 0) + 1,
    })
    if (this.#problems.size > KEPT) this.#problems.delete(this.#problems.keys().next().value!)
    return known === undefined
  }

  /** Adds to the fields of a problem that was seen; nothing when it is not kept any more. */
  amend(error: unknown, context: ErrorFields, more: ErrorFields): void {
    const key = keyOf(error, context)
    const known = this.#problems.get(key)
    if (known !== undefined) this.#problems.set(key, { ...known, fields: { ...known.fields, ...defined(more) } })
  }

  /** `render` waits for this, a moment. Must not reject. */
  track(work: Promise<void>): void {
    this.#tracked.add(work)
    void work.then(() => this.#tracked.delete(work))
  }

  get count(): number {
    return this.#count
  }

  /** There are problems, and all are that a key is missing or wrong. */
  get areKeysAlone(): boolean {
    return this.#count > 0 && this.#keys === this.#count
  }

  /** Oldest first. */
  list(): Problem[] {
    return [...this.#problems.values()]
  }

  /** One line each, for the file in the mount, once the places are found that are looked for (a moment at most). */
  async render(): Promise<string> {
    if (this.#tracked.size > 0) {
      const moment = new Promise<void>((resolve) => setTimeout(resolve, TRACKED_MS).unref())
      await Promise.race([Promise.all(this.#tracked), moment])
    }
    return this.list()
      .map(({ time, message, fields, count }) => {
        const details = Object.entries(fields).map(([name, value]) => `${name}=${escapeText(String(value))}`)
        return `${time} ${count}x ${escapeText(message)}${details.length === 0 ? '' : ` (${details.join(', ')})`}\n`
      })
      .join('')
  }
}

function fieldsOf(error: unknown, context: ErrorFields): Problem['fields'] {
  return defined({ ...context, ...(isPbsfsError(error) ? error.fields : {}) })
}

function keyOf(error: unknown, context: ErrorFields): string {
  return JSON.stringify([messageOf(error), lasting(fieldsOf(error, context))])
}

function defined(fields: ErrorFields): Record<string, string | number | boolean> {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined)
  return Object.fromEntries(kept) as Record<string, string | number | boolean>
}

/** Which request met the problem, and where in a file, is told by the first one and does not make another problem. */
const PASSING = new Set(['node', 'unique', 'op', 'offset', 'length', 'fileOffset'])

function lasting(fields: Problem['fields']): [string, unknown][] {
  // A bad chunk is one problem, whatever lies in it; that somebody got zeros for it is another.
  const { digest, zeroed } = fields
  if (digest !== undefined) return [['digest', digest], ['zeroed', zeroed === true]]
  return Object.entries(fields).filter(([name]) => !PASSING.has(name))
}

/** An entry that is not shown, and why. */
export interface EntryProblem {
  /** The bytes of its name, when there is one to tell; not checked. */
  readonly name?: Uint8Array
  /** Of the entry, or of its table row, in the metadata stream. */
  readonly offset: number
  readonly error: Error
}

/** Problems kept of one directory; the rest is only counted. */
export const MAX_PROBLEMS = 100

/** A bounded list. */
export class ProblemList {
  readonly list: EntryProblem[] = []
  count = 0

  add(offset: number, error: unknown, name?: Uint8Array): void {
    this.count++
    if (this.list.length >= MAX_PROBLEMS) return
    const asError = error instanceof Error ? error : new Error(String(error))
    this.list.push({ offset, error: asError, ...(name === undefined ? {} : { name }) })
  }
}

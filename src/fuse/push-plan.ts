/** Files pushed at a time. 32 to 128 are about equally good. */
export const WINDOW = 100

/** Place in a window of the file that is not pushed. */
export const MARKER = WINDOW >>> 1

/** Readers followed at once. */
const READERS = 16

/** Files read one after the other that make somebody who goes through a directory. */
const EVIDENCE = 2

/** One reader; files are named by keys. */
interface Reader {
  /** The file that would come next; undefined once files are pushed. */
  expected: string | undefined
  streak: number
  /** Files of the window. */
  pushed: ReadonlySet<string>
  /** The one file of the window that is not pushed: its read tells that the reader has come that far. */
  marker: string | undefined
  /** Last file of the window: the next one starts behind it. */
  last: string | undefined
}

/** What follows from a read. */
export type PushStep =
  | { readonly kind: 'nothing' }
  /** Nothing is known of this reader: tell `expect` which file follows. */
  | { readonly kind: 'watch' }
  /** Push what follows `after`, then tell `pushed`. */
  | { readonly kind: 'push'; readonly after: string }

/**
 * Decides when to put small files into the kernel's page cache before they are asked for. A
 * pushed file causes no request, so progress shows only at the marker in the middle of each window.
 */
export class PushPlan {
  /** The one used last comes last. */
  #readers: Reader[] = []
  #current: Reader | undefined

  /** The file was read from its start. */
  read(key: string): PushStep {
    const marked = this.#readers.find((reader) => reader.marker === key)
    if (marked !== undefined) return this.#push(marked, marked.last!)
    const following = this.#readers.find((reader) => reader.expected === key)
    if (following !== undefined) {
      following.streak++
      if (following.streak >= EVIDENCE) return this.#push(following, key)
      this.#use(following)
      return { kind: 'watch' }
    }
    // Asked for before it was pushed: no new reader.
    if (this.#readers.some((reader) => reader.pushed.has(key))) return { kind: 'nothing' }
    this.#use({ expected: undefined, streak: 1, pushed: new Set(), marker: undefined, last: undefined })
    return { kind: 'watch' }
  }

  /** After `watch`: the file that follows the one that was read, if there is one. */
  expect(key: string | undefined): void {
    this.#current!.expected = key
  }

  /** After `push`: the files of the window in order. The one at `MARKER` was left out, if there are so many. */
  pushed(keys: readonly string[]): void {
    const reader = this.#current!
    reader.expected = undefined
    reader.pushed = new Set(keys)
    reader.last = keys.at(-1)
    reader.marker = keys[MARKER]
  }

  #push(reader: Reader, after: string): PushStep {
    this.#use(reader)
    return { kind: 'push', after }
  }

  #use(reader: Reader): void {
    this.#current = reader
    this.#readers = [...this.#readers.filter((other) => other !== reader), reader].slice(-READERS)
  }
}

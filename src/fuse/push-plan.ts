/** Files pushed at a time. 32 to 128 are about equally good. */
export const WINDOW = 100

/** Directories whose readers are remembered. */
const DIRECTORIES = 256

/** Reads of neighbouring files that make somebody who goes through a directory. */
const EVIDENCE = 2

/** Entries `[from, to)` to push, all but `marker`: its read tells that the reader has come that far. */
export interface Window {
  readonly from: number
  readonly to: number
  readonly marker: number
}

interface Reader {
  /** Entry read last, and how many in a row led there. */
  last: number
  streak: number
  /** First entry that was ever pushed, and the end of the window; -1: nothing was. */
  first: number
  end: number
  marker: number
}

/**
 * Decides which small files of a directory to put into the kernel's page cache before they are
 * asked for. A pushed file causes no request, so progress shows only at the marker in the middle
 * of each window.
 */
export class PushPlan {
  readonly #readers = new Map<string, Reader>()

  /** Entry `index` of `count` was read from its start. Returns what to push now. */
  read(directory: string, index: number, count: number): Window | undefined {
    const reader = this.#reader(directory)
    // Below what was pushed first: the pages are gone and somebody starts again.
    if (reader.first >= 0 && index < reader.first) reset(reader)
    if (reader.first >= 0 && index < reader.end) return index === reader.marker ? next(reader, count) : undefined
    reader.streak = index > reader.last && index <= reader.last + 2 ? reader.streak + 1 : 1
    reader.last = index
    if (reader.streak < EVIDENCE || index + 1 >= count) return undefined
    reader.first = index + 1
    reader.end = index + 1
    return next(reader, count)
  }

  #reader(directory: string): Reader {
    let reader = this.#readers.get(directory)
    this.#readers.delete(directory)
    reader ??= { last: -2, streak: 0, first: -1, end: -1, marker: -1 }
    this.#readers.set(directory, reader)
    if (this.#readers.size > DIRECTORIES) this.#readers.delete(this.#readers.keys().next().value!)
    return reader
  }
}

function reset(reader: Reader): void {
  reader.streak = 0
  reader.last = -2
  reader.first = -1
  reader.end = -1
  reader.marker = -1
}

function next(reader: Reader, count: number): Window | undefined {
  const from = reader.end
  const to = Math.min(count, from + WINDOW)
  reader.end = to
  // In the last window of a directory there is nothing to come that progress would matter for.
  reader.marker = to === count ? -1 : from + (WINDOW >>> 1)
  return from < to ? { from, to, marker: reader.marker } : undefined
}

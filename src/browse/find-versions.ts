import type { Step } from './walk.js'

/** A version of a file that a search over many snapshots has met. */
export interface FoundVersion {
  readonly step: Step
  /** Name of the newest snapshot that no longer has the file; undefined: the newest one has it. */
  readonly goneSince: string | undefined
}

interface Seen {
  /** What tells versions apart. */
  mark: string
  /** The snapshot it was last met in, counted from the newest. */
  snapshot: number
}

/**
 * Snapshots of one archive from the newest to the oldest: reports each version of a file once, where it is met
 * first, and since when a file is gone. Remembers only what matched.
 */
export class VersionFilter {
  readonly #seen = new Map<string, Seen>()
  #snapshot = -1
  /** Name of the snapshot looked at before the present one, of those that could be read whole. */
  #newer: string | undefined
  #current: string | undefined
  #isPartial = false

  /** `newer`: the snapshot before the first one, if the archive is not in the newest. */
  constructor(newer?: string) {
    this.#current = newer
  }

  /** What follows is of the next older snapshot. */
  begin(name: string): void {
    this.#snapshot++
    if (!this.#isPartial) this.#newer = this.#current
    this.#current = name
    this.#isPartial = false
  }

  /** Not all of the present snapshot could be read: what was not met in it may be there all the same. */
  markPartial(): void {
    this.#isPartial = true
    for (const seen of this.#seen.values()) if (seen.snapshot === this.#snapshot - 1) seen.snapshot = this.#snapshot
  }

  /** The version if it is a new one. */
  take(step: Step): FoundVersion | undefined {
    const key = step.path.toString('latin1')
    const { attr } = step.found
    const isDirectory = (attr.mode & 0o170000) === 0o040000
    // Folders change with every file in them: they are one version.
    const mark = isDirectory ? 'folder' : `${attr.mode}:${attr.size}:${attr.mtimeSec}.${attr.mtimeNsec}`
    const known = this.#seen.get(key)
    if (known === undefined) {
      this.#seen.set(key, { mark, snapshot: this.#snapshot })
      return { step, goneSince: this.#newer }
    }
    const wasAway = known.snapshot < this.#snapshot - 1
    known.snapshot = this.#snapshot
    if (known.mark === mark && !wasAway) return undefined
    known.mark = mark
    return { step, goneSince: wasAway ? this.#newer : undefined }
  }
}

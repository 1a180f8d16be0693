import { NodeError } from '../errors/errors.js'
import type { SnapshotLock } from '../source/datastore.js'
import type { MaybePromise } from './tree.js'

/** A snapshot that is held. */
export interface HeldSnapshot {
  /** `ns/prod/host/web/2026-01-02T00:00:00Z`. */
  readonly snapshot: string
  readonly openFiles: number
  readonly idleSeconds: number
  /** All that a server could look at is locked. */
  readonly complete: boolean
}

interface HoldParts {
  readonly place: string
  readonly lasting: boolean
  readonly now: () => number
  readonly take: () => Promise<SnapshotLock>
  readonly give: (lock: SnapshotLock) => void
  /** What the snapshot shows now. */
  readonly read: () => Promise<ReadonlySet<string>>
}

/** The lock of one snapshot. */
export class SnapshotHold {
  readonly #parts: HoldParts
  readonly #lasting: boolean
  readonly #now: () => number
  #lock: SnapshotLock | undefined
  #taking: Promise<void> | undefined
  #stamp: string | undefined
  /** What the snapshot showed when it was found changed; undefined: it never was. */
  #shown: ReadonlySet<string> | undefined
  #lastUse = 0
  #requests = 0
  #openFiles = 0

  constructor(parts: HoldParts) {
    this.#parts = parts
    this.#lasting = parts.lasting
    this.#now = parts.now
  }

  /**
   * undefined: it is held. Rejects with BusyError, ESTALE (it is gone), SourceError (the lock is
   * required and cannot be had).
   */
  enter(): Promise<void> | undefined {
    if (this.#lock === undefined) return (this.#taking ??= this.#acquire().finally(() => (this.#taking = undefined)))
    if (!this.#lasting) this.#lastUse = this.#now()
    return undefined
  }

  /** `work` with the snapshot held, taken first if need be, until it is done. `identity`: see `check`. */
  run<T>(identity: string | undefined, work: () => MaybePromise<T>): MaybePromise<T> {
    const wait = this.enter()
    if (wait !== undefined) return wait.then(() => this.run(identity, work))
    if (this.#shown !== undefined) this.#check(identity)
    const result = work()
    if (this.#lasting || !(result instanceof Promise)) return result
    this.#requests++
    return result.finally(() => {
      this.#requests--
      this.#lastUse = this.#now()
    })
  }

  /** A file of the snapshot is open from now on. */
  noteOpen(): void {
    this.#openFiles++
  }

  noteClosed(): void {
    this.#openFiles--
    this.#lastUse = this.#now()
  }

  /** True: it is not held (any more). */
  giveUp(lastUseBefore: number): boolean {
    if (this.#lock === undefined) return this.#taking === undefined
    if (this.#openFiles > 0 || this.#requests > 0 || this.#lastUse > lastUseBefore) return false
    const lock = this.#lock
    this.#lock = undefined
    this.#parts.give(lock)
    return true
  }

  /** undefined: not held. */
  describe(): HeldSnapshot | undefined {
    if (this.#lock === undefined) return undefined
    const idle = this.#lasting || this.#openFiles + this.#requests > 0 ? 0 : this.#now() - this.#lastUse
    const complete = this.#lock.problems.length === 0
    return { snapshot: this.#parts.place, openFiles: this.#openFiles, idleSeconds: Math.round(idle / 1000), complete }
  }

  async #acquire(): Promise<void> {
    const lock = await this.#parts.take()
    try {
      // It was not held for a while: what it shows may be something else.
      if (this.#stamp !== undefined && this.#stamp !== lock.stamp.identity) this.#shown = await this.#parts.read()
    } catch (error) {
      this.#parts.give(lock)
      throw error
    }
    this.#stamp = lock.stamp.identity
    this.#lastUse = this.#now()
    this.#lock = lock
  }

  /** Whether what was opened before is still what the snapshot shows under that name. */
  #check(identity: string | undefined): void {
    if (identity === undefined || this.#shown!.has(identity)) return
    const { place } = this.#parts
    throw new NodeError('ESTALE', `${place}: the snapshot was replaced by another one`, { path: place })
  }
}

/** A node's part of a hold: the snapshot it lies in and, for contents, which they were when it was made. */
export class SnapshotGuard {
  readonly hold: SnapshotHold
  readonly #identity: string | undefined

  constructor(hold: SnapshotHold, identity?: string) {
    this.hold = hold
    this.#identity = identity
  }

  run<T>(work: () => MaybePromise<T>): MaybePromise<T> {
    return this.hold.run(this.#identity, work)
  }
}

import { NodeError, SourceError, type ErrorFields } from '../errors/errors.js'
import type { Datastore, LockProblem, ServerPlace, SnapshotLock, SnapshotRef } from '../source/datastore.js'
import { snapshotPath } from '../source/store-folders.js'
import { identitiesIn } from './archive-versions.js'
import type { MaybePromise } from './tree.js'

/** How often it is looked what can be given up, in ms; and the part of the time after which that happens. */
const MAX_SWEEP_MS = 1000
const SWEEPS = 10

export interface HoldSettings {
  readonly server: ServerPlace
  /** Without the whole lock nothing is opened. */
  readonly required: boolean
  /** A snapshot that nobody has used for this long is given up, in ms; Infinity: never. */
  readonly releaseAfterMs: number
  /** A clock in ms. */
  readonly now?: () => number
  warn(message: string, fields: ErrorFields): void
}

/** What of a store is needed to hold its snapshots. */
export type LockingStore = Pick<Datastore, 'lockSnapshot' | 'unlockSnapshot' | 'readManifest'>

/** A snapshot that is held. */
export interface HeldSnapshot {
  /** `ns/prod/host/web/2026-01-02T00:00:00Z`. */
  readonly snapshot: string
  readonly openFiles: number
  readonly idleSeconds: number
  /** All that a server could look at is locked. */
  readonly complete: boolean
}

/**
 * The locks of the snapshots of a tree: a snapshot is locked when it is first entered and stays so
 * while a file of it is open, a request about it is under way, and for some time after the last one.
 */
export class SnapshotHolds {
  /** Nothing is given up before the end: who opens and closes files need not be told. */
  readonly lasting: boolean
  readonly #datastore: LockingStore
  readonly #settings: HoldSettings
  readonly #now: () => number
  readonly #holds = new Map<string, SnapshotHold>()
  readonly #warned = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  constructor(datastore: LockingStore, settings: HoldSettings) {
    this.lasting = settings.releaseAfterMs === Infinity
    this.#datastore = datastore
    this.#settings = settings
    this.#now = settings.now ?? (() => performance.now())
  }

  of(snapshot: SnapshotRef): SnapshotHold {
    const place = snapshotPath(snapshot)
    const known = this.#holds.get(place)
    if (known !== undefined) return known
    const hold = new SnapshotHold({
      place,
      lasting: this.lasting,
      now: this.#now,
      take: () => this.#lock(snapshot, place),
      give: (lock) => this.#unlock(snapshot, lock),
      read: async () => identitiesIn((await this.#datastore.readManifest(snapshot)).manifest),
    })
    this.#holds.set(place, hold)
    return hold
  }

  held(): HeldSnapshot[] {
    return [...this.#holds.values()].flatMap((hold) => hold.describe() ?? [])
  }

  /** Gives up what has been idle for long enough. */
  sweep(): void {
    const before = this.#now() - this.#settings.releaseAfterMs
    let left = false
    for (const hold of this.#holds.values()) if (!hold.giveUp(before)) left = true
    if (!left) this.#stopTimer()
  }

  /** Nothing is given up after this; the locks go with the store. */
  close(): void {
    this.#stopTimer()
  }

  #stopTimer(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #lock(snapshot: SnapshotRef, place: string): Promise<SnapshotLock> {
    const lock = await this.#datastore.lockSnapshot(snapshot, this.#settings.server)
    if (lock === undefined) {
      const message = `${place}: the snapshot is gone: it was removed after it was shown`
      if (!this.#warned.has(place)) this.#settings.warn(message, { path: place })
      this.#warned.add(place)
      throw new NodeError('ESTALE', message, { path: place })
    }
    const problem = lock.problems[0]
    if (problem !== undefined && this.#settings.required) {
      this.#unlock(snapshot, lock)
      const message = `${place}: cannot be locked, and that is required: ${problem.message}`
      throw new SourceError(message, { path: place, operation: 'lock', code: problem.code })
    }
    for (const other of lock.problems) this.#warn(other, place)
    if (!this.lasting) this.#timer ??= setInterval(() => this.sweep(), Math.min(MAX_SWEEP_MS, this.#settings.releaseAfterMs / SWEEPS)).unref()
    return lock
  }

  #unlock(snapshot: SnapshotRef, lock: SnapshotLock): void {
    // Fails only when the store is closed, and its locks with it.
    this.#datastore.unlockSnapshot(snapshot, lock.id).catch(() => undefined)
  }

  /** The same obstacle is mostly there for every snapshot. */
  #warn({ kind, code, message }: LockProblem, place: string): void {
    // Told when the store was opened.
    if (code === 'unknown' || this.#warned.has(kind + code)) return
    this.#warned.add(kind + code)
    this.#settings.warn(`snapshots are not fully locked, so the server may remove them meanwhile: ${message}`, { path: place, code })
  }
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

  /** undefined: it is held. Rejects with BusyError, ESTALE (it is gone), SourceError (the lock is required and cannot be had). */
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

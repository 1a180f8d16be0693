import { NodeError, SourceError, type ErrorFields } from '../errors/errors.js'
import type { Datastore, LockProblem, ServerPlace, SnapshotLock, SnapshotRef } from '../source/datastore.js'
import { snapshotPath } from '../source/store-folders.js'
import { identitiesIn } from './archive-versions.js'
import { SnapshotHold, type HeldSnapshot } from './snapshot-hold.js'

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

  #startTimer(): void {
    if (this.lasting) return
    const every = Math.min(MAX_SWEEP_MS, this.#settings.releaseAfterMs / SWEEPS)
    this.#timer ??= setInterval(() => this.sweep(), every).unref()
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
    this.#startTimer()
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
    const text = `snapshots are not fully locked, so the server may remove them meanwhile: ${message}`
    this.#settings.warn(text, { path: place, code })
  }
}

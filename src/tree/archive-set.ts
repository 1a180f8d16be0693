import type { ReadAt } from '../bytes/read-at.js'
import { UnsupportedError } from '../errors/errors.js'
import { PxarArchive } from '../pxar-decode/archive.js'
import type { ProblemReport } from './archive-dirs.js'
import { ArchiveNodes } from './archive.js'
import { DirTables } from './dir-tables.js'
import { LinkCounter } from './link-counter.js'
import type { ArchiveTable } from './mount-tree.js'
import type { SnapshotGuard } from './snapshot-hold.js'
import { checkArchiveSize, MAX_ARCHIVES } from './node-id.js'
import type { MaybePromise, NodeId } from './tree.js'

/** Archives kept open although the kernel holds nothing of them. */
const IDLE_ARCHIVES = 16

/**
 * Whoever enters an archive refers to nothing in it before the answer is out: it stays open for
 * longer than an answer takes that still matters to somebody.
 */
const GRACE_MS = 60_000

/** An archive that can be opened. */
export interface ArchiveSpec {
  /** What it is: its place and its contents. The same key is the same archive. */
  readonly key: string
  /** For messages. */
  readonly name: string
  /** What is held while something of it is used. */
  readonly guard?: SnapshotGuard | undefined
  openStreams(): { readonly meta: ReadAt; readonly payload?: ReadAt }
  /** The pass that finds the hard links. */
  countLinks(pxar: PxarArchive, signal: AbortSignal): Promise<ReadonlyMap<number, number>>
}

interface Slot {
  readonly number: number
  readonly root: NodeId
  nodes: ArchiveNodes | undefined
  opening: Promise<ArchiveNodes> | undefined
  lastUse: number
  /** When it was entered last, in ms. */
  entered: number
}

export interface ArchiveSetOptions {
  /** Bytes of decoded directories kept. */
  readonly directoryBytes?: number | undefined
  /** A clock in milliseconds. */
  readonly now?: () => number
}

/** The archives of a mount: gives each its number and opens it when it is first entered. */
export class ArchiveSet implements ArchiveTable {
  readonly tables: DirTables
  readonly #report: ProblemReport
  readonly #now: () => number
  readonly #byKey = new Map<string, Slot>()
  readonly #byNumber = new Map<number, Slot>()
  #next = 1
  #uses = 0

  constructor(report: ProblemReport, options: ArchiveSetOptions = {}) {
    this.tables = new DirTables(options.directoryBytes)
    this.#report = report
    this.#now = options.now ?? (() => performance.now())
  }

  /**
   * Gives the archive its number now. Numbers are part of inode numbers and are never used
   * twice in a mount: a copy that remembers inode numbers must not take two files for one.
   */
  register(key: string, name: string, root: NodeId): void {
    if (this.#byKey.has(key)) return
    if (this.#next > MAX_ARCHIVES) {
      throw new UnsupportedError(`${name}: more than ${MAX_ARCHIVES} archives were entered; mount again to go on`, {
        stream: name,
      })
    }
    const slot: Slot = { number: this.#next++, root, nodes: undefined, opening: undefined, lastUse: 0, entered: 0 }
    this.#byKey.set(key, slot)
    this.#byNumber.set(slot.number, slot)
  }

  open(spec: ArchiveSpec, root: NodeId): MaybePromise<ArchiveNodes> {
    this.register(spec.key, spec.name, root)
    const slot = this.#byKey.get(spec.key)!
    slot.lastUse = ++this.#uses
    slot.entered = this.#now()
    if (slot.nodes !== undefined) return slot.nodes
    slot.opening ??= this.#open(spec, slot).finally(() => {
      slot.opening = undefined
    })
    return slot.opening
  }

  get(number: number): ArchiveNodes | undefined {
    const slot = this.#byNumber.get(number)
    if (slot === undefined) return undefined
    slot.lastUse = ++this.#uses
    return slot.nodes
  }

  rootOf(number: number): NodeId {
    return this.#byNumber.get(number)!.root
  }

  stats(): { open: number; entered: number } {
    let open = 0
    for (const slot of this.#byNumber.values()) if (slot.nodes !== undefined) open++
    return { open, entered: this.#byNumber.size }
  }

  /** Bytes of decoded directories. */
  get directoryBytes(): number {
    return this.tables.stats().bytes
  }

  close(): void {
    for (const slot of this.#byNumber.values()) slot.nodes?.close()
  }

  async #open(spec: ArchiveSpec, slot: Slot): Promise<ArchiveNodes> {
    const streams = spec.openStreams()
    await streams.meta.prepare?.()
    checkArchiveSize(spec.name, streams.meta.size)
    const pxar = await PxarArchive.open(streams)
    const links = new LinkCounter(
      (signal) => spec.countLinks(pxar, signal),
      (error) => this.#report(error, spec.name),
    )
    slot.nodes = new ArchiveNodes(spec.name, slot.number, pxar, links, this.tables, this.#report)
    slot.nodes.guard = spec.guard
    slot.entered = this.#now()
    this.#closeIdle()
    return slot.nodes
  }

  #closeIdle(): void {
    const before = this.#now() - GRACE_MS
    const idle = [...this.#byNumber.values()].filter(
      (slot) => slot.nodes !== undefined && slot.nodes.references === 0 && slot.entered < before,
    )
    idle.sort((a, b) => b.lastUse - a.lastUse)
    for (const slot of idle.slice(IDLE_ARCHIVES)) {
      slot.nodes!.close()
      slot.nodes = undefined
    }
  }
}

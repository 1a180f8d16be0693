import type { LostRange } from '../bytes/read-at.js'
import { bytesOfKey, escapeName, keyOf } from '../bytes/names.js'
import { NodeError } from '../errors/errors.js'
import type { ArchiveNodes } from './archive.js'
import type { SnapshotGuard, SnapshotHold } from './snapshot-hold.js'
import { archiveOf, isDirectory, nodeHi, nodeLo, offsetOf } from './node-id.js'
import type { NodeRegistry } from './node-registry.js'
import type { Attr, Content, DirFiles, DirSink, Entry, FsStats, MaybePromise, NodeId, NodePlace, Tree, TreeWrites } from './tree.js'
import { FOREVER } from './tree.js'
import type { VirtualNode, Xattrs } from './virtual-node.js'
import type { WritableDisk } from './writable-disk.js'
import { ZeroFilledStream } from './zero-filled-stream.js'

/** Archives by the number in their nodes' ids. */
export interface ArchiveTable {
  /** undefined: no archive of that number is open any more. */
  get(number: number): ArchiveNodes | undefined
  /** The folder the archive is shown as. */
  rootOf(number: number): NodeId
}

/**
 * The tree of one mount: the virtual nodes from its root down to the archives, and the nodes
 * in the archives, told apart by the node number.
 */
export class MountTree implements Tree {
  readonly #root: VirtualNode
  readonly #control: VirtualNode
  readonly #registry: NodeRegistry
  readonly #archives: ArchiveTable
  readonly #stats: () => FsStats
  readonly #onLoss: ((node: NodeId, lost: LostRange) => void) | undefined
  readonly open: ((node: NodeId) => MaybePromise<number>) | undefined
  readonly release: ((handle: number) => void) | undefined
  readonly writes: TreeWrites | undefined
  /** The snapshots of files that are open, by handle. */
  readonly #open = new Map<number, SnapshotHold>()
  #lastHandle = 0

  /**
   * `tracksOpen`: snapshots are held while files of them are open. `onLoss`: lost bytes of files are
   * read as zeros, and this hears of each range, counted from the start of its file.
   */
  constructor(
    root: VirtualNode,
    control: VirtualNode,
    registry: NodeRegistry,
    archives: ArchiveTable,
    stats: () => FsStats,
    tracksOpen = false,
    onLoss?: (node: NodeId, lost: LostRange) => void,
    isWritable = false,
  ) {
    this.#onLoss = onLoss
    this.#root = root
    this.#control = control
    this.#registry = registry
    this.#archives = archives
    this.#stats = stats
    if (isWritable) this.writes = this.#makeWrites()
    if (!tracksOpen) return
    this.open = (node) => this.#openFile(node)
    this.release = (handle) => this.#releaseFile(handle)
  }

  lookup(parent: NodeId, name: Uint8Array): MaybePromise<Entry | undefined> {
    const archive = this.#archive(parent)
    if (archive !== undefined) {
      if (!isDirectory(parent.hi)) throw new NodeError('ENOTDIR')
      return guarded(archive.guard, () => archive.lookup(offsetOf(parent), name))
    }
    const node = this.#virtual(parent)
    if (node === this.#root && keyOf(name) === this.#control.path) return this.#lookupControl(name)
    return guarded(node.inside, () => node.lookup(name))
  }

  /** An entry of that name in the root wins. What tells what is wrong is there when the root cannot be read, too. */
  async #lookupControl(name: Uint8Array): Promise<Entry> {
    let found: Entry | undefined
    try {
      found = await guarded(this.#root.inside, () => this.#root.lookup(name))
    } catch {
      // Whoever lists the root is told.
    }
    return found ?? this.#control.entry()
  }

  negativeTtl(parent: NodeId): number {
    return archiveOf(parent.hi) === 0 ? (this.#registry.get(parent)?.negativeTtl ?? 0) : FOREVER
  }

  getattr(node: NodeId): MaybePromise<Attr> {
    const place = this.#archive(node) ?? this.#virtual(node)
    return guarded(place.guard, () => place.getattr(node))
  }

  list(dir: NodeId, cookie: number, sink: DirSink): MaybePromise<void> {
    const archive = this.#archive(dir)
    if (archive === undefined) {
      const node = this.#virtual(dir)
      return guarded(node.inside, () => node.list(cookie, sink))
    }
    if (!isDirectory(dir.hi)) throw new NodeError('ENOTDIR')
    const end = offsetOf(dir)
    return guarded(archive.guard, () => archive.list(end, dir, this.#parentOf(archive, end, dir), cookie, sink))
  }

  readlink(node: NodeId): MaybePromise<Uint8Array> {
    const place = this.#archive(node) ?? this.#virtual(node)
    return guarded(place.guard, () => place.readlink(node))
  }

  content(node: NodeId): MaybePromise<Content> {
    const place = this.#archive(node) ?? this.#virtual(node)
    const content = guarded(place.guard, () => place.content(node))
    return this.#onLoss === undefined ? content : later(content, (found) => this.#zeroFilled(found, node))
  }

  #zeroFilled({ stream, start, size }: Content, node: NodeId): Content {
    const report = (lost: LostRange): void => this.#onLoss?.(node, { ...lost, offset: lost.offset - start })
    return { stream: new ZeroFilledStream(stream, report), start, size }
  }

  async placeOf(id: NodeId): Promise<NodePlace | undefined> {
    try {
      const archive = this.#archive(id)
      return archive === undefined ? { file: `/${escapeName(bytesOfKey(this.#virtual(id).path))}` } : await archive.placeOf(id)
    } catch {
      return undefined
    }
  }

  filesIn(dir: NodeId): DirFiles | undefined {
    return isDirectory(dir.hi) ? this.#known(dir)?.filesIn(offsetOf(dir)) : undefined
  }

  filesBeside(file: NodeId): MaybePromise<DirFiles | undefined> {
    return isDirectory(file.hi) ? undefined : this.#known(file)?.filesBeside(offsetOf(file))
  }

  getxattr(node: NodeId, name: Uint8Array): MaybePromise<Uint8Array | undefined> {
    const archive = this.#archive(node)
    if (archive !== undefined) return guarded(archive.guard, () => archive.getxattr(node, name))
    const key = keyOf(name)
    return this.#virtual(node).mayHaveXattr(key) ? later(this.#xattrs(node), (all) => all.get(key)) : undefined
  }

  listxattr(node: NodeId): MaybePromise<Uint8Array[]> {
    const archive = this.#archive(node)
    if (archive !== undefined) return guarded(archive.guard, () => archive.listxattr(node))
    return later(this.#xattrs(node), (all) => [...all.keys()].map(bytesOfKey))
  }

  get isPlain(): boolean {
    return this.#root.isPlain
  }

  isQuickToWalk(dir: NodeId): MaybePromise<boolean> {
    const archive = this.#archive(dir)
    return archive === undefined ? this.#virtual(dir).isQuickToWalk() : archive.pxar.split
  }

  remember(hi: number, lo: number, count: number): void {
    const number = archiveOf(hi)
    if (number === 0) {
      const node = this.#registry.get({ hi, lo })
      if (node !== undefined) node.references += count
    } else {
      const archive = this.#archives.get(number)
      if (archive !== undefined) archive.references += count
    }
  }

  forget(hi: number, lo: number, count: number): void {
    const number = archiveOf(hi)
    if (number !== 0) {
      const archive = this.#archives.get(number)
      if (archive !== undefined) archive.references = Math.max(0, archive.references - count)
      return
    }
    const node = this.#registry.get({ hi, lo })
    if (node === undefined || node === this.#root || node === this.#control) return
    node.references = Math.max(0, node.references - count)
    if (node.references === 0) this.#registry.retire(node)
  }

  statfs(): FsStats {
    return this.#stats()
  }

  #makeWrites(): TreeWrites {
    const find = (id: NodeId): WritableDisk | undefined => (archiveOf(id.hi) === 0 ? this.#virtual(id).disk : undefined)
    const diskOf = (id: NodeId): WritableDisk => {
      const disk = find(id)
      if (disk === undefined) throw new NodeError('EROFS')
      return disk
    }
    return {
      isWritable: (id) => find(id) !== undefined,
      write: async (id, offset, bytes) => diskOf(id).write(bytes, offset),
      zero: async (id, offset, length) => diskOf(id).zero(offset, length),
      flush: async (id) => diskOf(id).flush(),
    }
  }

  #openFile(id: NodeId): MaybePromise<number> {
    const { guard } = this.#archive(id) ?? this.#virtual(id)
    if (guard === undefined) return 0
    return guard.run(() => {
      const handle = ++this.#lastHandle
      this.#open.set(handle, guard.hold)
      guard.hold.noteOpen()
      return handle
    })
  }

  #releaseFile(handle: number): void {
    this.#open.get(handle)?.noteClosed()
    this.#open.delete(handle)
  }

  #xattrs(id: NodeId): MaybePromise<Xattrs> {
    const node = this.#virtual(id)
    return guarded(node.guard, () => node.xattrs())
  }

  /** The archive a node belongs to; undefined: a virtual node. */
  #archive(id: NodeId): ArchiveNodes | undefined {
    const number = archiveOf(id.hi)
    if (number === 0) return undefined
    const archive = this.#archives.get(number)
    if (archive === undefined) throw new NodeError('ESTALE', 'the snapshot of this file is not shown any more')
    return archive
  }

  #known(id: NodeId): ArchiveNodes | undefined {
    const number = archiveOf(id.hi)
    return number === 0 ? undefined : this.#archives.get(number)
  }

  #virtual(id: NodeId): VirtualNode {
    const node = this.#registry.get(id)
    if (node === undefined) throw new NodeError('ESTALE', 'this file is not shown any more')
    return node
  }

  #parentOf(archive: ArchiveNodes, end: number, self: NodeId): NodeId {
    const parent = archive.parentOf(end)
    if (parent === undefined) return self
    if (parent === archive.pxar.rootEnd) return this.#archives.rootOf(archive.number)
    return { hi: nodeHi(archive.number, true, parent), lo: nodeLo(parent) }
  }
}

function guarded<T>(guard: SnapshotGuard | undefined, work: () => MaybePromise<T>): MaybePromise<T> {
  return guard === undefined ? work() : guard.run(work)
}

function later<T, R>(value: MaybePromise<T>, use: (value: T) => R): MaybePromise<R> {
  return value instanceof Promise ? value.then(use) : use(value)
}

import { SourceError } from '../errors/errors.js'
import type { GroupRef, Listing, SnapshotEntry, SnapshotRef } from '../source/datastore.js'
import { BACKUP_TYPES, type BackupType } from '../source/names.js'
import { parseSnapshotTime } from '../source/snapshot-time.js'
import { LinkNode } from './file-nodes.js'
import { LiveDir, type Child, type Children } from './live-dir.js'
import { SnapshotDir } from './snapshot-dir.js'
import type { StoreContext } from './store-context.js'
import type { NodeId } from './tree.js'
import type { VirtualNode, Xattrs } from './virtual-node.js'
import { XATTR } from './xattr-names.js'

const S_IFDIR = 0o40000
const S_IFLNK = 0o120000

/** Name of the symlink to the newest snapshot of a group. */
export const LATEST = 'latest'

/** What one folder leaves out is reported up to this many times. */
const MAX_REPORTED = 100

/** A folder that shows what a listing of the store finds. */
abstract class StoreDir extends LiveDir {
  protected readonly context: StoreContext
  readonly #reported = new Set<string>()

  constructor(id: NodeId, parent: VirtualNode | undefined, path: string, context: StoreContext) {
    super(id, parent, path, context.registry, context.owner)
    this.context = context
  }

  /** The entries of a listing; what it leaves out is reported, each once. */
  protected entriesOf<T>({ entries, skipped }: Listing<T>): readonly T[] {
    for (const { path, reason } of skipped) {
      if (this.#reported.has(path) || this.#reported.size >= MAX_REPORTED) continue
      this.#reported.add(path)
      this.context.report(new SourceError(`${path}: not shown: ${reason}`, { path, operation: 'list' }), this.path)
    }
    return entries
  }
}

/** A namespace, the root one among them: `ns`, `ct`, `host`, `vm`, as far as there is something in them. */
export class NamespaceDir extends StoreDir {
  readonly #ns: readonly string[]

  constructor(id: NodeId, parent: VirtualNode | undefined, path: string, context: StoreContext, ns: readonly string[]) {
    super(id, parent, path, context)
    this.#ns = ns
  }

  protected async load(): Promise<Children> {
    const { datastore } = this.context
    const listings = await Promise.all([datastore.listNamespaces(this.#ns), datastore.listGroups(this.#ns)])
    const [namespaces, groups] = [this.entriesOf(listings[0]), this.entriesOf(listings[1])]
    const children = new Map<string, Child>()
    for (const type of BACKUP_TYPES) {
      if (!groups.some((group) => group.type === type)) continue
      children.set(type, directory((id, parent, path) => new TypeDir(id, parent, path, this.context, this.#ns, type)))
    }
    if (namespaces.length > 0) {
      children.set('ns', directory((id, parent, path) => new NamespacesDir(id, parent, path, this.context, this.#ns)))
    }
    return children
  }

  protected mtime(): number {
    return this.context.since
  }
}

/** The folder `ns`: the namespaces directly below one. */
export class NamespacesDir extends StoreDir {
  readonly #ns: readonly string[]

  constructor(id: NodeId, parent: VirtualNode | undefined, path: string, context: StoreContext, ns: readonly string[]) {
    super(id, parent, path, context)
    this.#ns = ns
  }

  protected async load(): Promise<Children> {
    const names = this.entriesOf(await this.context.datastore.listNamespaces(this.#ns))
    return new Map(
      names.map((name) => [
        name,
        directory((id, parent, path) => new NamespaceDir(id, parent, path, this.context, [...this.#ns, name])),
      ]),
    )
  }

  protected mtime(): number {
    return this.context.since
  }
}

/** `ct`, `host` or `vm`: the groups of one type. */
export class TypeDir extends StoreDir {
  readonly #ns: readonly string[]
  readonly #type: BackupType

  constructor(
    id: NodeId,
    parent: VirtualNode | undefined,
    path: string,
    context: StoreContext,
    ns: readonly string[],
    type: BackupType,
  ) {
    super(id, parent, path, context)
    this.#ns = ns
    this.#type = type
  }

  protected async load(): Promise<Children> {
    const groups = this.entriesOf(await this.context.datastore.listGroups(this.#ns))
    return new Map(
      groups
        .filter((group) => group.type === this.#type)
        .map((group) => [
          group.id,
          directory((id, parent, path) => new GroupDir(id, parent, path, this.context, group)),
        ]),
    )
  }

  protected mtime(): number {
    return this.context.since
  }
}

/** The snapshots of a group that are finished, oldest first, and `latest`. */
export class GroupDir extends StoreDir {
  readonly #group: GroupRef

  constructor(id: NodeId, parent: VirtualNode | undefined, path: string, context: StoreContext, group: GroupRef) {
    super(id, parent, path, context)
    this.#group = group
  }

  protected async load(): Promise<Children> {
    const entries = this.entriesOf(await this.context.datastore.listSnapshots(this.#group))
    const children = new Map<string, Child>()
    for (const { time } of entries) {
      const snapshot: SnapshotRef = { group: this.#group, time }
      children.set(
        time,
        directory((id, parent, path) => new SnapshotDir(id, parent, path, this.context, snapshot)),
      )
    }
    const newest = entries.at(-1)
    if (newest !== undefined) children.set(LATEST, this.#latest(newest))
    return children
  }

  protected mtime(names: readonly string[] | undefined): number {
    const newest = names?.findLast((name) => name !== LATEST)
    return (newest === undefined ? undefined : parseSnapshotTime(newest)) ?? this.context.since
  }

  /** Another target is another node: the kernel never reads a symlink twice. */
  #latest({ time, epoch }: SnapshotEntry): Child {
    const { owner } = this.context
    return {
      type: S_IFLNK,
      version: time,
      make: (id, parent, path) => new LinkNode(id, parent, path, owner, Buffer.from(time), epoch),
    }
  }

  override async xattrs(): Promise<Xattrs> {
    const { owner, notes } = await this.context.datastore.groupInfo(this.#group)
    const all = new Map<string, Uint8Array>()
    if (owner !== undefined) all.set(XATTR.owner, Buffer.from(owner))
    if (notes !== undefined) all.set(XATTR.notes, notes)
    return all
  }
}

function directory(make: Child['make']): Child {
  return { type: S_IFDIR, make }
}

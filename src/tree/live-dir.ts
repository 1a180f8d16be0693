import { keyOf } from '../bytes/names.js'
import { emitDots } from './dots.js'
import type { NodeRegistry } from './node-registry.js'
import { emptyAttr, type Attr, type DirSink, type Entry, type MaybePromise, type NodeId } from './tree.js'
import { DIRECTORY_MODE, LISTING_MS, LIVE_TTL, VirtualNode, type Owner } from './virtual-node.js'

/** A name in a live directory and how to make its node. */
export interface Child {
  /** S_IFMT bits, for d_type. */
  readonly type: number
  /** What tells this child from another that had the same name before; absent: the name is all. */
  readonly version?: string
  readonly make: (id: NodeId, parent: VirtualNode | undefined, path: string) => VirtualNode
}

/** Names are latin1 keys. The order is the order of the listing. */
export type Children = ReadonlyMap<string, Child>

interface Listing {
  readonly children: Children
  readonly names: readonly string[]
  readonly hash: number
  readonly at: number
}

/**
 * A directory that shows the store as it is now. What was listed is looked at again after
 * 0.4 s; the mtime is made from the visible names, so that the kernel notices every change and
 * drops the listing it keeps.
 */
export abstract class LiveDir extends VirtualNode {
  protected readonly owner: Owner
  protected readonly registry: NodeRegistry
  #listing: Listing | undefined
  #loading: Promise<Listing> | undefined
  /** Positions handed out to the kernel refer to this state of the directory. */
  #shown: Listing | undefined

  constructor(id: NodeId, parent: VirtualNode | undefined, path: string, registry: NodeRegistry, owner: Owner) {
    super(id, parent, path)
    this.registry = registry
    this.owner = owner
  }

  /** What the directory holds now. */
  protected abstract load(): Promise<Children>

  /** Seconds since the epoch to show as mtime; `names` is undefined before the first listing. */
  protected abstract mtime(names: readonly string[] | undefined): number

  async getattr(): Promise<Attr> {
    // A directory that was never listed has no listing that could be out of date.
    const listing = this.#listing === undefined ? undefined : await this.#fresh()
    return this.attr(DIRECTORY_MODE, this.owner, {
      size: 4096,
      mtimeSec: this.mtime(listing?.names),
      mtimeNsec: listing === undefined ? 0 : listing.hash % 1_000_000_000,
    })
  }

  override async lookup(name: Uint8Array): Promise<Entry | undefined> {
    const key = keyOf(name)
    const listing = await this.#fresh()
    const child = listing.children.get(key)
    return child === undefined ? this.lookupHidden(key) : this.node(key, child).entry()
  }

  /** Names that can be reached but are not listed. */
  protected lookupHidden(_key: string): MaybePromise<Entry | undefined> {
    return undefined
  }

  override async list(cookie: number, sink: DirSink): Promise<void> {
    if (cookie === 0 || this.#shown === undefined) this.#shown = await this.#fresh()
    const { names, children } = this.#shown
    const entry: Entry = { idHi: 0, idLo: 0, attr: emptyAttr(), entryTtl: LIVE_TTL }
    if (cookie < 2 && !emitDots(this.id, this.parentId, cookie, entry, sink)) return
    for (let i = Math.max(0, cookie - 2); i < names.length; i++) {
      const key = names[i]!
      const child = children.get(key)!
      const id = this.registry.idFor(this.#identity(key, child))
      entry.attr.inoHi = id.hi
      entry.attr.inoLo = id.lo
      entry.attr.mode = child.type
      const name = Buffer.from(key, 'latin1')
      if (!sink.add(name, 0, name.length, i + 3, entry)) return
    }
  }

  /** The node of a child, made when it is not in use yet. */
  protected node(key: string, child: Child): VirtualNode {
    return this.registry.intern(this.#identity(key, child), (id) => child.make(id, this, this.childPath(key)))
  }

  #identity(key: string, child: Child): string {
    return child.version === undefined ? this.childPath(key) : `${this.childPath(key)}\0${child.version}`
  }

  /** The node of the child with that name. */
  async child(key: string): Promise<VirtualNode | undefined> {
    const child = (await this.#fresh()).children.get(key)
    return child === undefined ? undefined : this.node(key, child)
  }

  /** The names that are listed now, latin1 keys. */
  protected async names(): Promise<readonly string[]> {
    return (await this.#fresh()).names
  }

  protected childPath(key: string): string {
    return this.path === '' ? key : `${this.path}/${key}`
  }

  async #fresh(): Promise<Listing> {
    const listing = this.#listing
    if (listing !== undefined && performance.now() - listing.at < LISTING_MS) return listing
    this.#loading ??= this.#reload().finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #reload(): Promise<Listing> {
    const at = performance.now()
    const children = await this.load()
    const names = [...children.keys()]
    this.#listing = { children, names, hash: hashNames(names), at }
    return this.#listing
  }
}

/** FNV-1a over the names, 32 bits. */
function hashNames(names: readonly string[]): number {
  let hash = 0x811c9dc5
  for (const name of names) {
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
    hash = Math.imul(hash ^ 0x2f, 0x01000193)
  }
  return hash >>> 0
}

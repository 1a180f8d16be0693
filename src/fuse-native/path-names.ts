import { LRUCache } from 'lru-cache'
import { asBuffer } from '../bytes/names.js'
import { UnsupportedError } from '../errors/errors.js'
import { FOREVER, ROOT, type Entry, type MaybePromise, type NodeId, type Tree } from '../tree/tree.js'
import { hiddenName, isLossy } from './names.js'

/** Names kept; some 200 bytes each. */
const MAX_NAMES = 16_384

interface KeptName {
  readonly id: NodeId
  readonly parent: NodeId
  /** Never another node under this name. */
  readonly forever: boolean
}

/**
 * Finds nodes by path, name by name. What a name of an archive leads to never changes and is kept;
 * a name above the archives is looked up each time, so a change there is seen as soon as the tree
 * sees it. The nodes of all names that were used lately are remembered at the tree.
 */
export class PathNames {
  readonly #tree: Tree
  readonly #names: LRUCache<string, KeptName>

  constructor(tree: Tree, max: number = MAX_NAMES) {
    this.#tree = tree
    this.#names = new LRUCache<string, KeptName>({
      max,
      dispose: ({ id, parent }) => {
        tree.forget(id.hi, id.lo, 1)
        tree.forget(parent.hi, parent.lo, 1)
      },
    })
  }

  get size(): number {
    return this.#names.size
  }

  /** The node at an absolute path; undefined: no such name. Valid at least until the next 16,000 names. */
  find(path: string): MaybePromise<NodeId | undefined> {
    return this.#walk(ROOT, path.split('/'), 0)
  }

  /** Forgets all names, and their nodes with them. */
  clear(): void {
    this.#names.clear()
  }

  #walk(from: NodeId, names: readonly string[], start: number): MaybePromise<NodeId | undefined> {
    let node = from
    for (let at = start; at < names.length; at++) {
      const name = names[at]!
      if (name === '') continue
      const child = this.#step(node, name)
      if (child instanceof Promise) {
        return child.then((found) => (found === undefined ? undefined : this.#walk(found, names, at + 1)))
      }
      if (child === undefined) return undefined
      node = child
    }
    return node
  }

  #step(parent: NodeId, name: string): MaybePromise<NodeId | undefined> {
    const key = `${parent.hi}.${parent.lo}/${name}`
    const kept = this.#names.get(key)
    if (kept?.forever === true) return kept.id
    const found = this.#lookup(parent, name)
    return found instanceof Promise ? found.then((entry) => this.#keep(key, parent, entry)) : this.#keep(key, parent, found)
  }

  #keep(key: string, parent: NodeId, entry: Entry | undefined): NodeId | undefined {
    if (entry === undefined) {
      this.#names.delete(key)
      return undefined
    }
    const id = { hi: entry.idHi, lo: entry.idLo }
    const forever = entry.entryTtl >= FOREVER
    const kept = this.#names.peek(key)
    if (kept !== undefined && kept.id.hi === id.hi && kept.id.lo === id.lo && kept.forever === forever) return kept.id
    this.#tree.remember(id.hi, id.lo, 1)
    this.#tree.remember(parent.hi, parent.lo, 1)
    this.#names.set(key, { id, parent, forever })
    return id
  }

  #lookup(parent: NodeId, name: string): MaybePromise<Entry | undefined> {
    if (isLossy(name)) return this.#lookupLossy(parent, name)
    const found = this.#tree.lookup(parent, Buffer.from(name))
    const hidden = hiddenName(name)
    if (hidden === undefined) return found
    return Promise.resolve(found).then((entry) => entry ?? this.#tree.lookup(parent, hidden))
  }

  /** The one name of the folder that arrives here as `name`: which of several was meant cannot be known. */
  async #lookupLossy(parent: NodeId, name: string): Promise<Entry | undefined> {
    const matches: Buffer[] = []
    await this.#tree.list(parent, 0, {
      add: (bytes, start, end) => {
        const candidate = asBuffer(bytes).subarray(start, end)
        if (candidate.toString('utf8') === name) matches.push(Buffer.from(candidate))
        return true
      },
    })
    if (matches.length > 1) {
      throw new UnsupportedError('several names of the folder differ only in bytes that are not UTF-8', { feature: 'fuse-native' })
    }
    return matches[0] === undefined ? undefined : this.#tree.lookup(parent, matches[0])
  }
}

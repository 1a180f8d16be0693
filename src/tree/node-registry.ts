import type { NodeId } from './tree.js'
import type { VirtualNode } from './virtual-node.js'

/** Ids of virtual nodes are below 2^45, like offsets in an archive. */
const OFFSET_HI = 2 ** 13

/** Longer than any answer takes that still matters to somebody. */
const GRACE_MS = 60_000

/**
 * The virtual nodes that are in use, by identity and by id. An identity is the path, and for
 * what may be replaced under its name also what tells the contents apart. Ids are made from
 * it, so that a mount of the same thing numbers it alike; when an id is taken, the next free
 * one is used.
 */
export class NodeRegistry {
  readonly #byIdentity = new Map<string, VirtualNode>()
  readonly #byId = new Map<string, VirtualNode>()
  readonly #identities = new Map<VirtualNode, string>()
  readonly #retiredAt = new WeakMap<VirtualNode, number>()
  readonly #now: () => number
  readonly #retired: { readonly node: VirtualNode; readonly at: number }[] = []

  /** `now`: a clock in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** The node of that identity, made when it is not there. */
  intern<T extends VirtualNode>(identity: string, make: (id: NodeId) => T): T {
    const known = this.#byIdentity.get(identity)
    if (known !== undefined) return known as T
    let id = idOf(identity)
    while (this.#byId.has(idKey(id)) || (id.hi === 0 && id.lo <= 1)) id = successor(id)
    const node = make(id)
    this.#byIdentity.set(identity, node)
    this.#identities.set(node, identity)
    this.#byId.set(idKey(id), node)
    return node
  }

  add(node: VirtualNode): void {
    this.#byIdentity.set(node.path, node)
    this.#identities.set(node, node.path)
    this.#byId.set(idKey(node.id), node)
  }

  get(id: NodeId): VirtualNode | undefined {
    return this.#byId.get(idKey(id))
  }

  /** Id of a node that may not be there yet, for a listing. */
  idFor(identity: string): NodeId {
    return this.#byIdentity.get(identity)?.id ?? idOf(identity)
  }

  /**
   * Nobody refers to the node any more. It goes after a minute, unless it is referred to again:
   * the answer to a lookup may be on its way.
   */
  retire(node: VirtualNode): void {
    const now = this.#now()
    this.#retired.push({ node, at: now })
    this.#retiredAt.set(node, now)
    while (this.#retired.length > 0 && now - this.#retired[0]!.at > GRACE_MS) {
      const old = this.#retired.shift()!
      // Retired once more since: that is what counts.
      if (old.node.references <= 0 && this.#retiredAt.get(old.node) === old.at) this.#remove(old.node)
    }
  }

  #remove(node: VirtualNode): void {
    this.#byIdentity.delete(this.#identities.get(node) ?? node.path)
    this.#identities.delete(node)
    this.#byId.delete(idKey(node.id))
  }

  get size(): number {
    return this.#byId.size
  }

  [Symbol.iterator](): IterableIterator<VirtualNode> {
    return this.#byId.values()
  }
}

function idKey(id: NodeId): string {
  return `${id.hi}:${id.lo}`
}

function successor(id: NodeId): NodeId {
  const lo = (id.lo + 1) >>> 0
  return { hi: lo === 0 ? (id.hi + 1) % OFFSET_HI : id.hi, lo }
}

/** 45 bits out of two rounds of multiply and xor. Spread matters here, secrecy does not. */
function idOf(identity: string): NodeId {
  let a = 0xdeadbeef
  let b = 0x41c6ce57
  for (let i = 0; i < identity.length; i++) {
    const unit = identity.charCodeAt(i)
    a = Math.imul(a ^ unit, 2654435761)
    b = Math.imul(b ^ unit, 1597334677)
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)
  return { hi: (b >>> 0) % OFFSET_HI, lo: a >>> 0 }
}

import type { NodeId, Tree } from '../tree/tree.js'

/** 0 is no handle for the library, and it takes them as 32-bit numbers with a sign. */
const LAST_HANDLE = 2 ** 31 - 1

/** The files that are open, by handle. Their nodes stay remembered at the tree until released. */
export class OpenFiles {
  readonly #tree: Tree
  readonly #open = new Map<number, NodeId>()
  #last = 0

  constructor(tree: Tree) {
    this.#tree = tree
  }

  get size(): number {
    return this.#open.size
  }

  open(node: NodeId): number {
    do this.#last = this.#last >= LAST_HANDLE ? 1 : this.#last + 1
    while (this.#open.has(this.#last))
    this.#tree.remember(node.hi, node.lo, 1)
    this.#open.set(this.#last, node)
    return this.#last
  }

  /** The node of a handle that was not released. */
  node(handle: number): NodeId {
    const node = this.#open.get(handle)
    if (node === undefined) throw new Error(`there is no open file ${handle}`)
    return node
  }

  /** Nothing happens when there is no such handle. */
  release(handle: number): void {
    const node = this.#open.get(handle)
    if (node === undefined) return
    this.#open.delete(handle)
    this.#tree.forget(node.hi, node.lo, 1)
  }
}

import type { NodeId, Tree } from '../tree/tree.js'

/** 0 is no handle for the library, and it takes them as 32-bit numbers with a sign. */
const LAST_HANDLE = 2 ** 31 - 1

/** The files that are open, by handle. Their nodes stay remembered at the tree until released. */
export class OpenFiles {
  readonly #tree: Tree
  readonly #open = new Map<number, { readonly node: NodeId; readonly held: number }>()
  #last = 0

  constructor(tree: Tree) {
    this.#tree = tree
  }

  get size(): number {
    return this.#open.size
  }

  async open(node: NodeId): Promise<number> {
    const held = (await this.#tree.open?.(node)) ?? 0
    do this.#last = this.#last >= LAST_HANDLE ? 1 : this.#last + 1
    while (this.#open.has(this.#last))
    this.#tree.remember(node.hi, node.lo, 1)
    this.#open.set(this.#last, { node, held })
    return this.#last
  }

  /** The node of a handle that was not released. */
  node(handle: number): NodeId {
    const file = this.#open.get(handle)
    if (file === undefined) throw new Error(`there is no open file ${handle}`)
    return file.node
  }

  /** Nothing happens when there is no such handle. */
  release(handle: number): void {
    const file = this.#open.get(handle)
    if (file === undefined) return
    const { node, held } = file
    this.#open.delete(handle)
    if (held !== 0) this.#tree.release?.(held)
    this.#tree.forget(node.hi, node.lo, 1)
  }
}

import type { ReadAt } from '#src/bytes/read-at.js'
import { NodeError } from '#src/errors/errors.js'
import {
  emptyAttr, FOREVER, type Attr, type Content, type DirSink, type Entry, type FsStats, type MaybePromise, type NodeId, type Tree,
} from '#src/tree/tree.js' // prettier-ignore

export interface FakeNode {
  mode: number
  attr?: Partial<Attr>
  /** Directories. */
  children?: Map<string, FakeNode>
  /** Files: bytes, or a stream made elsewhere. */
  bytes?: Uint8Array
  stream?: ReadAt
  target?: string
  xattrs?: Record<string, Uint8Array>
  ttl?: number
  negativeTtl?: number
  id?: number
}

export const S_IFDIR = 0o040000
export const S_IFREG = 0o100000
export const S_IFLNK = 0o120000

export function dir(children: Record<string, FakeNode>, more: Partial<FakeNode> = {}): FakeNode {
  return { mode: S_IFDIR | 0o755, children: new Map(Object.entries(children)), ...more }
}

export function file(bytes: Uint8Array | string, more: Partial<FakeNode> = {}): FakeNode {
  return { mode: S_IFREG | 0o644, bytes: typeof bytes === 'string' ? Buffer.from(bytes) : bytes, ...more }
}

export function link(target: string, more: Partial<FakeNode> = {}): FakeNode {
  return { mode: S_IFLNK | 0o777, target, ...more }
}

/** Bytes in memory. `asyncOnly`: as if they had to be fetched. Holes: aligned pages of zeros. */
export class MemoryStream implements ReadAt {
  readonly name = 'memory'
  readonly size: number
  readonly #bytes: Uint8Array
  readonly #asyncOnly: boolean

  constructor(bytes: Uint8Array, asyncOnly = false) {
    this.#bytes = bytes
    this.size = bytes.length
    this.#asyncOnly = asyncOnly
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    return this.#asyncOnly ? undefined : this.#bytes.subarray(offset, offset + length)
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    await new Promise((resolve) => setTimeout(resolve, 1))
    return new Uint8Array(this.#bytes.subarray(offset, offset + length))
  }

  nextData(offset: number): number {
    while (offset < this.size && this.#isZero(offset)) offset = Math.min(this.size, (Math.floor(offset / 4096) + 1) * 4096)
    return offset
  }

  nextHole(offset: number): number {
    while (offset < this.size && !this.#isZero(offset)) offset = Math.min(this.size, (Math.floor(offset / 4096) + 1) * 4096)
    return offset
  }

  #isZero(offset: number): boolean {
    const page = Math.floor(offset / 4096) * 4096
    return this.#bytes.subarray(page, page + 4096).every((byte) => byte === 0)
  }
}

/** Names are latin1 keys. `delayMs`: every answer is a promise. */
export class FakeTree implements Tree {
  readonly references = new Map<number, number>()
  readonly calls: string[] = []
  readonly #nodes: FakeNode[] = []
  readonly #streams = new Map<FakeNode, ReadAt>()
  readonly #delayMs: number | undefined

  constructor(root: FakeNode, delayMs?: number) {
    this.#nodes.push({ mode: 0 })
    this.#delayMs = delayMs
    this.#number(root)
  }

  #number(node: FakeNode): number {
    if (node.id === undefined) {
      node.id = this.#nodes.length
      this.#nodes.push(node)
      for (const child of node.children?.values() ?? []) this.#number(child)
    }
    return node.id
  }

  #node(node: NodeId): FakeNode {
    const found = node.hi === 0 && node.lo > 0 ? this.#nodes[node.lo] : undefined
    if (found === undefined) throw new NodeError('ESTALE')
    return found
  }

  #answer<T>(make: () => T): MaybePromise<T> {
    if (this.#delayMs === undefined) return make()
    return new Promise((resolve) => setTimeout(resolve, this.#delayMs)).then(make)
  }

  attrOf(node: FakeNode): Attr {
    const size = node.bytes?.length ?? node.stream?.size ?? node.target?.length ?? 0
    return {
      ...emptyAttr(),
      inoLo: this.#number(node),
      mode: node.mode,
      size,
      blocks: Math.ceil(size / 512),
      mtimeSec: 1_700_000_000,
      ttl: node.ttl ?? FOREVER,
      ...node.attr,
    }
  }

  #entryOf(node: FakeNode): Entry {
    const attr = this.attrOf(node)
    return { idHi: 0, idLo: node.id!, attr, entryTtl: node.ttl ?? FOREVER }
  }

  lookup(parent: NodeId, name: Uint8Array): MaybePromise<Entry | undefined> {
    const key = Buffer.from(name).toString('latin1')
    this.calls.push(`lookup ${key}`)
    return this.#answer(() => {
      const children = this.#node(parent).children
      if (children === undefined) throw new NodeError('ENOTDIR')
      const child = children.get(key)
      return child === undefined ? undefined : this.#entryOf(child)
    })
  }

  negativeTtl(parent: NodeId): number {
    return this.#node(parent).negativeTtl ?? FOREVER
  }

  getattr(node: NodeId): MaybePromise<Attr> {
    this.calls.push(`getattr ${node.lo}`)
    return this.#answer(() => this.attrOf(this.#node(node)))
  }

  list(id: NodeId, cookie: number, sink: DirSink): MaybePromise<void> {
    this.calls.push(`list ${id.lo} ${cookie}`)
    return this.#answer(() => {
      const node = this.#node(id)
      if (node.children === undefined) throw new NodeError('ENOTDIR')
      const dots: Entry = { idHi: 0, idLo: 0, attr: this.attrOf(node), entryTtl: 0 }
      const names: [string, Entry][] = [['.', dots], ['..', dots]]
      for (const [name, child] of node.children) names.push([name, this.#entryOf(child)])
      for (let i = cookie; i < names.length; i++) {
        const name = Buffer.from(names[i]![0], 'latin1')
        if (!sink.add(name, 0, name.length, i + 1, names[i]![1])) return
      }
    })
  }

  readlink(node: NodeId): MaybePromise<Uint8Array> {
    return this.#answer(() => {
      const { target } = this.#node(node)
      if (target === undefined) throw new NodeError('EINVAL')
      return Buffer.from(target, 'latin1')
    })
  }

  content(id: NodeId): MaybePromise<Content> {
    return this.#answer(() => {
      const node = this.#node(id)
      if (node.stream !== undefined) return { stream: node.stream, start: 0, size: node.stream.size }
      if (node.bytes === undefined) throw new NodeError('EISDIR')
      let stream = this.#streams.get(node)
      if (stream === undefined || stream.size !== node.bytes.length) {
        stream = new MemoryStream(node.bytes)
        this.#streams.set(node, stream)
      }
      return { stream, start: 0, size: stream.size }
    })
  }

  getxattr(node: NodeId, name: Uint8Array): MaybePromise<Uint8Array | undefined> {
    return this.#answer(() => this.#node(node).xattrs?.[Buffer.from(name).toString('latin1')])
  }

  listxattr(node: NodeId): MaybePromise<Uint8Array[]> {
    return this.#answer(() => Object.keys(this.#node(node).xattrs ?? {}).map((name) => Buffer.from(name, 'latin1')))
  }

  remember(_hi: number, lo: number, count: number): void {
    this.references.set(lo, (this.references.get(lo) ?? 0) + count)
  }

  forget(_hi: number, lo: number, count: number): void {
    this.references.set(lo, (this.references.get(lo) ?? 0) - count)
  }

  statfs(): FsStats {
    return { totalBytes: 1_000_000, files: this.#nodes.length }
  }
}

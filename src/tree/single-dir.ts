import { keyOf } from '../bytes/names.js'
import { emitDots } from './dots.js'
import { emptyAttr, type Attr, type DirSink, type Entry, type NodeId } from './tree.js'
import { DIRECTORY_MODE, VirtualNode, type Owner } from './virtual-node.js'

/** The root of a mount of one file: a folder with nothing else in it. */
export class SingleDir extends VirtualNode {
  readonly #owner: Owner
  readonly #name: Uint8Array
  readonly #find: () => Promise<Entry | undefined>

  constructor(id: NodeId, owner: Owner, name: Uint8Array, find: () => Promise<Entry | undefined>) {
    super(id, undefined, '')
    this.#owner = owner
    this.#name = name
    this.#find = find
  }

  async getattr(): Promise<Attr> {
    const entry = await this.#find()
    return this.attr(DIRECTORY_MODE, this.#owner, { size: 4096, mtimeSec: entry?.attr.mtimeSec ?? 0 })
  }

  override async lookup(name: Uint8Array): Promise<Entry | undefined> {
    return keyOf(name) === keyOf(this.#name) ? this.#find() : undefined
  }

  override async list(cookie: number, sink: DirSink): Promise<void> {
    const dots: Entry = { idHi: 0, idLo: 0, attr: emptyAttr(), entryTtl: 0 }
    if (cookie < 2 && !emitDots(this.id, this.id, cookie, dots, sink)) return
    const entry = cookie < 3 ? await this.#find() : undefined
    if (entry !== undefined) sink.add(this.#name, 0, this.#name.length, 3, entry)
  }
}

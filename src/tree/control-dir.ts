import { ChangingFileNode, type FileState } from './file-nodes.js'
import type { NodeRegistry } from './node-registry.js'
import { emptyAttr, type Attr, type DirSink, type Entry, type NodeId } from './tree.js'
import { emitDots } from './dots.js'
import { DIRECTORY_MODE, VirtualNode, type Owner } from './virtual-node.js'

/** The folder at the root of every mount: reachable by name, never listed. */
export const CONTROL_DIR = '.pbsfs'

/** What the files of the folder say at this moment. */
export interface ControlFiles {
  status(): Promise<string>
  errors(): string | Promise<string>
}

/** `.pbsfs/status` and `.pbsfs/errors`: written anew each time somebody opens them. */
export class ControlDir extends VirtualNode {
  override readonly entryTtl = 0
  readonly #registry: NodeRegistry
  readonly #owner: Owner
  readonly #files: Record<string, () => string | Promise<string>>
  /** What the last lookup found. The kernel asks for the size before each read: one reader must see one text. */
  readonly #shown = new Map<string, FileState>()

  constructor(id: NodeId, parent: VirtualNode, registry: NodeRegistry, owner: Owner, files: ControlFiles) {
    super(id, parent, CONTROL_DIR)
    this.#registry = registry
    this.#owner = owner
    this.#files = { errors: () => files.errors(), status: () => files.status() }
  }

  getattr(): Attr {
    return this.attr(DIRECTORY_MODE, this.#owner, { size: 4096, mtimeSec: now(), ttl: 0 })
  }

  override async lookup(name: Uint8Array): Promise<Entry | undefined> {
    const key = Buffer.from(name).toString('latin1')
    const render = Object.hasOwn(this.#files, key) ? this.#files[key] : undefined
    if (render === undefined) return undefined
    const path = `${this.path}/${key}`
    this.#shown.set(key, state(await render()))
    const load = (): FileState => this.#shown.get(key)!
    return this.#registry.intern(path, (id) => new ChangingFileNode(id, this, path, this.#owner, load, 0)).entry()
  }

  override list(cookie: number, sink: DirSink): void {
    const entry: Entry = { idHi: 0, idLo: 0, attr: emptyAttr(), entryTtl: 0 }
    if (cookie < 2 && !emitDots(this.id, this.parentId, cookie, entry, sink)) return
    const names = Object.keys(this.#files)
    for (let i = Math.max(0, cookie - 2); i < names.length; i++) {
      const id = this.#registry.idFor(`${this.path}/${names[i]!}`)
      entry.attr.inoHi = id.hi
      entry.attr.inoLo = id.lo
      entry.attr.mode = 0o100000
      const name = Buffer.from(names[i]!)
      if (!sink.add(name, 0, name.length, i + 3, entry)) return
    }
  }
}

function state(text: string): FileState {
  const ms = Date.now()
  return {
    bytes: Buffer.from(text),
    mtimeSec: Math.floor(ms / 1000),
    mtimeNsec: (ms % 1000) * 1_000_000 + (process.hrtime()[1] % 1_000_000),
  }
}

function now(): number {
  return Math.floor(Date.now() / 1000)
}

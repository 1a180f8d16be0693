import type { ReadAt } from '#src/bytes/read-at.js'
import { NodeError } from '#src/errors/errors.js'
import { emptyAttr, FOREVER, type Attr, type Content, type DirSink, type Entry, type NodeId, type Tree } from '#src/tree/tree.js'

const ROOT_ID = 1
const FILE_ID = 2
const FOLDER_MODE = 0o040755
const FILE_MODE = 0o100644

/** Bytes that repeat; every answer is a view of memory. */
class RepeatingStream implements ReadAt {
  readonly name = 'memory'
  readonly size: number
  readonly #bytes: Uint8Array

  /** Ranges that end beyond the repeated bytes would have to be put together: lengths must divide them. */
  constructor(size: number, bytes: Uint8Array) {
    this.size = size
    this.#bytes = bytes
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    const start = offset % this.#bytes.length
    return start + length <= this.#bytes.length ? this.#bytes.subarray(start, start + length) : undefined
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const out = new Uint8Array(length)
    for (let at = 0; at < length; ) {
      const start = (offset + at) % this.#bytes.length
      const part = this.#bytes.subarray(start, Math.min(this.#bytes.length, start + length - at))
      out.set(part, at)
      at += part.length
    }
    return out
  }
}

/** A folder with one file whose content is in memory: what the session can carry at most. */
export class MemoryTree implements Tree {
  readonly #name: Buffer
  readonly #stream: ReadAt

  constructor(name: string, size: number, bytes: Uint8Array) {
    this.#name = Buffer.from(name)
    this.#stream = new RepeatingStream(size, bytes)
  }

  lookup(_parent: NodeId, name: Uint8Array): Entry | undefined {
    return this.#name.equals(name) ? this.#entry() : undefined
  }

  negativeTtl(): number {
    return FOREVER
  }

  getattr(node: NodeId): Attr {
    const isFile = node.lo === FILE_ID
    const size = isFile ? this.#stream.size : 0
    const blocks = Math.ceil(size / 512)
    return { ...emptyAttr(), inoLo: node.lo, mode: isFile ? FILE_MODE : FOLDER_MODE, size, blocks, ttl: FOREVER }
  }

  list(_dir: NodeId, cookie: number, sink: DirSink): void {
    const dots: Entry = { idHi: 0, idLo: 0, attr: this.getattr({ hi: 0, lo: ROOT_ID }), entryTtl: 0 }
    const names: [Buffer, Entry][] = [[Buffer.from('.'), dots], [Buffer.from('..'), dots], [this.#name, this.#entry()]]
    for (let i = cookie; i < names.length; i++) {
      const [name, entry] = names[i]!
      if (!sink.add(name, 0, name.length, i + 1, entry)) return
    }
  }

  readlink(): Uint8Array {
    throw new NodeError('EINVAL')
  }

  content(): Content {
    return { stream: this.#stream, start: 0, size: this.#stream.size }
  }

  getxattr(): undefined {
    return undefined
  }

  listxattr(): Uint8Array[] {
    return []
  }

  remember(): void {
    return
  }

  forget(): void {
    return
  }

  statfs(): { totalBytes: number; files: number } {
    return { totalBytes: this.#stream.size, files: 1 }
  }

  #entry(): Entry {
    return { idHi: 0, idLo: FILE_ID, attr: this.getattr({ hi: 0, lo: FILE_ID }), entryTtl: FOREVER }
  }
}

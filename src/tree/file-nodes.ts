import type { ReadAt } from '../bytes/read-at.js'
import { isPbsfsError, KeyError, NodeError, TruncatedError } from '../errors/errors.js'
import { countBlocks } from './extents.js'
import { FOREVER, type Attr, type Content, type MaybePromise, type NodeId } from './tree.js'
import { FILE_MODE, LIVE_TTL, SYMLINK_MODE, VirtualNode, type Owner, type Xattrs } from './virtual-node.js'
import type { WritableDisk } from './writable-disk.js'
import { XATTR } from './xattr-names.js'

/** A file beside the archives. */
export interface FileSource {
  /** Seconds since the epoch. */
  readonly mtimeSec: number
  /** Bytes, shown while the file itself cannot be opened. */
  readonly sizeHint: number
  readonly xattrs?: Xattrs
  open(): MaybePromise<ReadAt>
  /** What takes changes. */
  readonly disk?: WritableDisk | undefined
}

/** A disk image, a blob, the catalog, a lone half of an archive: the whole of one stream, which never changes. */
export class FileNode extends VirtualNode {
  readonly #owner: Owner
  readonly #source: FileSource

  constructor(id: NodeId, parent: VirtualNode | undefined, path: string, owner: Owner, source: FileSource) {
    super(id, parent, path)
    this.#owner = owner
    this.#source = source
  }

  async getattr(): Promise<Attr> {
    const stream = await this.#tryOpen()
    const broken = stream instanceof Error
    const size = broken ? this.#source.sizeHint : stream.size
    return this.attr(FILE_MODE, this.#owner, {
      size,
      blocks: broken ? Math.ceil(size / 512) : countBlocks(stream, 0, size),
      mtimeSec: this.#source.mtimeSec,
      ttl: broken ? LIVE_TTL : FOREVER,
    })
  }

  override get disk(): WritableDisk | undefined {
    return this.#source.disk
  }

  override content(): MaybePromise<Content> {
    const stream = this.#source.open()
    return stream instanceof Promise ? stream.then(contentOf) : contentOf(stream)
  }

  override async xattrs(): Promise<Xattrs> {
    const stream = await this.#tryOpen()
    return new Map([...(this.#source.xattrs ?? []), ...(stream instanceof Error ? explain(stream) : [])])
  }

  /** A file that does not open is shown all the same; reading it gives the error. */
  async #tryOpen(): Promise<ReadAt | Error> {
    try {
      const stream = await this.#source.open()
      await stream.prepare?.()
      return stream
    } catch (error) {
      if (isPbsfsError(error) && !(error instanceof NodeError)) return error
      throw error
    }
  }
}

/** The whole of a stream. What keeps it from being opened shows now, not at the first read. */
function contentOf(stream: ReadAt): MaybePromise<Content> {
  const pending = stream.prepare?.()
  if (pending !== undefined) return pending.then(() => ({ stream, start: 0, size: stream.size }))
  return { stream, start: 0, size: stream.size }
}

/** The attribute that says why something does not open. */
function explain(error: Error): Xattrs {
  return new Map([[error instanceof KeyError ? XATTR.key : XATTR.error, Buffer.from(error.message)]])
}

/** What a file that may change holds at one moment. */
export interface FileState {
  readonly bytes: Uint8Array
  /** Seconds and nanoseconds; the kernel drops the pages it keeps when they change. */
  readonly mtimeSec: number
  readonly mtimeNsec: number
}

/** A small file that may change: what a reader gets has the size the last stat told. One that does not open is shown empty. */
export class ChangingFileNode extends VirtualNode {
  override readonly entryTtl: number
  readonly #owner: Owner
  readonly #load: () => MaybePromise<FileState>
  readonly #ttl: number
  #state: FileState | undefined

  constructor(
    id: NodeId,
    parent: VirtualNode | undefined,
    path: string,
    owner: Owner,
    load: () => MaybePromise<FileState>,
    ttl: number = LIVE_TTL,
  ) {
    super(id, parent, path)
    this.#owner = owner
    this.#load = load
    this.#ttl = ttl
    this.entryTtl = ttl
  }

  async getattr(): Promise<Attr> {
    const state = await this.#tryLoad()
    if (state instanceof Error) return this.attr(FILE_MODE, this.#owner, { ttl: LIVE_TTL })
    this.#state = state
    return this.attr(FILE_MODE, this.#owner, {
      size: state.bytes.length,
      blocks: Math.ceil(state.bytes.length / 512),
      mtimeSec: state.mtimeSec,
      mtimeNsec: state.mtimeNsec,
      ttl: this.#ttl,
    })
  }

  override async content(): Promise<Content> {
    const state = (this.#state ??= await this.#load())
    return { stream: new BytesStream(this.path, state.bytes), start: 0, size: state.bytes.length }
  }

  override async xattrs(): Promise<Xattrs> {
    const state = await this.#tryLoad()
    return state instanceof Error ? explain(state) : new Map()
  }

  async #tryLoad(): Promise<FileState | Error> {
    try {
      return await this.#load()
    } catch (error) {
      if (isPbsfsError(error) && !(error instanceof NodeError)) return error
      throw error
    }
  }
}

/** A symlink. The kernel keeps its target as long as it keeps the node. */
export class LinkNode extends VirtualNode {
  readonly #owner: Owner
  readonly #target: Uint8Array
  readonly #mtimeSec: number

  constructor(
    id: NodeId,
    parent: VirtualNode | undefined,
    path: string,
    owner: Owner,
    target: Uint8Array,
    mtimeSec: number,
  ) {
    super(id, parent, path)
    this.#owner = owner
    this.#target = target
    this.#mtimeSec = mtimeSec
  }

  getattr(): Attr {
    return this.attr(SYMLINK_MODE, this.#owner, { size: this.#target.length, mtimeSec: this.#mtimeSec })
  }

  override readlink(): Uint8Array {
    return this.#target
  }
}

/** Bytes in memory as a stream. */
export class BytesStream implements ReadAt {
  readonly name: string
  readonly size: number
  readonly #bytes: Uint8Array

  constructor(name: string, bytes: Uint8Array) {
    this.name = name
    this.size = bytes.length
    this.#bytes = bytes
  }

  peek(offset: number, length: number): Uint8Array | undefined {
    return this.#bytes.subarray(offset, offset + length)
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset + length > this.size) {
      throw new TruncatedError(`${this.name}: bytes ${offset}+${length} lie outside the stream`, {
        stream: this.name,
        offset,
        expected: length,
        actual: Math.max(0, this.size - offset),
      })
    }
    return this.#bytes.slice(offset, offset + length)
  }
}

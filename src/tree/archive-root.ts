import { isPbsfsError, KeyError, NodeError } from '../errors/errors.js'
import type { ArchiveNodes } from './archive.js'
import type { Attr, DirSink, Entry, MaybePromise, NodeId } from './tree.js'
import { FOREVER } from './tree.js'
import { DIRECTORY_MODE, VirtualNode, type Owner, type Xattrs } from './virtual-node.js'
import { XATTR } from './xattr-names.js'

/** How an archive is opened; the same promise for all who ask while it is open. */
export interface ArchiveOpener {
  open(): MaybePromise<ArchiveNodes>
  /** Shown while the archive itself cannot be. */
  readonly mtimeSec: number
  /** Attributes beside those in the archive. */
  readonly xattrs?: Xattrs
}

/**
 * The folder of an archive: its root directory. An archive that does not open is still a
 * folder, with an attribute that says why; entering it gives the error.
 */
export class ArchiveRoot extends VirtualNode {
  override readonly entryTtl: number
  override readonly negativeTtl = FOREVER
  readonly #owner: Owner
  readonly opener: ArchiveOpener
  /** End of the directory's table; undefined: the archive's own root. */
  readonly #dirEnd: number | undefined

  constructor(
    id: NodeId,
    parent: VirtualNode | undefined,
    path: string,
    owner: Owner,
    opener: ArchiveOpener,
    options: { readonly dirEnd?: number; readonly entryTtl: number },
  ) {
    super(id, parent, path)
    this.#owner = owner
    this.opener = opener
    this.#dirEnd = options.dirEnd
    this.entryTtl = options.entryTtl
  }

  async getattr(): Promise<Attr> {
    const archive = await this.#tryOpen()
    if (!(archive instanceof Error)) {
      return this.#dirEnd === undefined ? archive.rootAttr(this.id) : archive.dirAttr(this.#dirEnd, this.id)
    }
    return this.attr(DIRECTORY_MODE, this.#owner, { size: 4096, nlink: 1, mtimeSec: this.opener.mtimeSec })
  }

  override lookup(name: Uint8Array): MaybePromise<Entry | undefined> {
    const archive = this.opener.open()
    if (archive instanceof Promise) return archive.then((opened) => opened.lookup(this.#end(opened), name))
    return archive.lookup(this.#end(archive), name)
  }

  override list(cookie: number, sink: DirSink): MaybePromise<void> {
    const archive = this.opener.open()
    if (archive instanceof Promise) {
      return archive.then((opened) => opened.list(this.#end(opened), this.id, this.parentId, cookie, sink))
    }
    return archive.list(this.#end(archive), this.id, this.parentId, cookie, sink)
  }

  override get isPlain(): boolean {
    const archive = this.opener.open()
    // Whoever asks for an attribute hears what is wrong.
    if (archive instanceof Promise) archive.catch(() => undefined)
    return !(archive instanceof Promise) && archive.isPlain
  }

  override async isQuickToWalk(): Promise<boolean> {
    const archive = await this.#tryOpen()
    return archive instanceof Error || archive.pxar.split
  }

  /** Those of the directory in the archive, too. */
  override mayHaveXattr(): boolean {
    return true
  }

  override async xattrs(): Promise<Xattrs> {
    const archive = await this.#tryOpen()
    const all = new Map(this.opener.xattrs ?? [])
    if (archive instanceof Error) {
      all.set(archive instanceof KeyError ? XATTR.key : XATTR.error, Buffer.from(archive.message))
      return all
    }
    const record = this.#dirEnd === undefined ? archive.pxar.root : await archive.pxar.readDirEntry(this.#dirEnd)
    for (const { name, value } of await archive.attributesOf(record)) all.set(Buffer.from(name).toString('latin1'), value)
    return all
  }

  #end(archive: ArchiveNodes): number {
    return this.#dirEnd ?? archive.pxar.rootEnd
  }

  async #tryOpen(): Promise<ArchiveNodes | Error> {
    try {
      return await this.opener.open()
    } catch (error) {
      // What went away while it was looked at is not there; everything else can be shown as broken.
      if (isPbsfsError(error) && !(error instanceof NodeError)) return error
      throw error
    }
  }
}

import { NodeError } from '../errors/errors.js'
import type { SnapshotGuard } from './snapshot-hold.js'
import type { WritableDisk } from './writable-disk.js'
import { OWN_PREFIX } from './xattr-names.js'
import { emptyAttr, type Attr, type Content, type DirSink, type Entry, type MaybePromise, type NodeId } from './tree.js'

/** Validity of what lies above the archives, in seconds; with LISTING_MS, a change shows within a second. */
export const LIVE_TTL = 0.5

/** How long a listing of the store is taken as it is, in ms. */
export const LISTING_MS = 400

/** Who owns what the store itself does not say an owner of: the upper folders, images, blobs. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

export type Xattrs = ReadonlyMap<string, Uint8Array>

/**
 * A node above or beside the archives: namespace, group, snapshot, image, blob. Unlike the
 * nodes of an archive it is an object, which lives as long as the kernel remembers it.
 */
export abstract class VirtualNode {
  readonly id: NodeId
  readonly parent: VirtualNode | undefined
  /** Path from the root of the mount, for messages; it is also what the id is made from. */
  readonly path: string
  /** References the kernel holds. */
  references = 0
  /** What is held while this node is used; the folder around it says that of its nodes. */
  guard: SnapshotGuard | undefined

  constructor(id: NodeId, parent: VirtualNode | undefined, path: string) {
    this.id = id
    this.parent = parent
    this.path = path
    this.guard = parent?.inside
  }

  /** What is held while something is looked up or listed in this node. */
  get inside(): SnapshotGuard | undefined {
    return this.guard
  }

  abstract getattr(): MaybePromise<Attr>

  /** Seconds the kernel may remember the name of this node. */
  readonly entryTtl: number = LIVE_TTL

  /** Seconds the kernel may remember that a name is missing in this directory. */
  readonly negativeTtl: number = 0

  lookup(_name: Uint8Array): MaybePromise<Entry | undefined> {
    throw new NodeError('ENOTDIR', `${this.path}: not a directory`)
  }

  list(_cookie: number, _sink: DirSink): MaybePromise<void> {
    throw new NodeError('ENOTDIR', `${this.path}: not a directory`)
  }

  readlink(): MaybePromise<Uint8Array> {
    throw new NodeError('EINVAL', `${this.path}: not a symlink`)
  }

  content(): MaybePromise<Content> {
    throw new NodeError('EISDIR', `${this.path}: a directory`)
  }

  /** True: it is known that neither this node nor anything below it has or will have extended attributes. */
  get isPlain(): boolean {
    return false
  }

  /** What takes changes of this file; undefined: nothing does. */
  get disk(): WritableDisk | undefined {
    return undefined
  }

  /** False: names and sizes in the directory lie between contents. */
  isQuickToWalk(): MaybePromise<boolean> {
    return true
  }

  /** False: `xattrs` never has this name. `ls -l` and copy tools ask each file for several that nothing of ours has. */
  mayHaveXattr(key: string): boolean {
    return key.startsWith(OWN_PREFIX)
  }

  xattrs(): MaybePromise<Xattrs> {
    return new Map()
  }

  get parentId(): NodeId {
    return this.parent?.id ?? this.id
  }

  /** The node as the answer to a lookup. */
  async entry(): Promise<Entry> {
    const attr = await this.getattr()
    return { idHi: this.id.hi, idLo: this.id.lo, attr, entryTtl: this.entryTtl }
  }

  protected attr(mode: number, owner: Owner, fields: Partial<Attr>): Attr {
    return {
      ...emptyAttr(),
      inoHi: this.id.hi,
      inoLo: this.id.lo,
      mode,
      uid: owner.uid,
      gid: owner.gid,
      ttl: LIVE_TTL,
      ...fields,
    }
  }
}

export const DIRECTORY_MODE = 0o40755
/** Disks and configurations hold secrets: with allow_other they stay the owner's. */
export const FILE_MODE = 0o100600
export const SYMLINK_MODE = 0o120777

import type { ReadAt } from '../bytes/read-at.js'

/**
 * The file tree as every front end sees it: the kernel session, the fuse-native driver and the
 * commands that need no mount. Operations answer at once when what they need is in memory and
 * return a promise otherwise. Failures throw (or reject with) errors of `errors/errors.ts`.
 */
export type MaybePromise<T> = T | Promise<T>

/**
 * 64-bit node number as two u32. The root is {hi: 0, lo: 1}. It is also the inode number, so no
 * two files of a mount can share one. Valid until forgotten.
 */
export interface NodeId {
  readonly hi: number
  readonly lo: number
}

export const ROOT: NodeId = { hi: 0, lo: 1 }

/** Validity of something that can never change. */
export const FOREVER = 2 ** 31 - 1

/** Attributes of a node; a mutable record so that a listing can reuse one. */
export interface Attr {
  inoHi: number
  inoLo: number
  /** st_mode: type and permission bits. */
  mode: number
  nlink: number
  uid: number
  gid: number
  major: number
  minor: number
  /** Bytes. */
  size: number
  /** 512-byte units. */
  blocks: number
  blksize: number
  /** Seconds, may be negative; atime and ctime show the same. */
  mtimeSec: number
  mtimeNsec: number
  /** How long the kernel may keep these attributes, in seconds. */
  ttl: number
}

export function emptyAttr(): Attr {
  return {
    inoHi: 0, inoLo: 0, mode: 0, nlink: 1, uid: 0, gid: 0, major: 0, minor: 0,
    size: 0, blocks: 0, blksize: 4096, mtimeSec: 0, mtimeNsec: 0, ttl: 0,
  } // prettier-ignore
}

/** A name that was found. `entryTtl`: how long the name may be remembered, in seconds. */
export interface Entry {
  idHi: number
  idLo: number
  attr: Attr
  entryTtl: number
}

export interface DirSink {
  /**
   * Adds one record; `name[start, end)` are the bytes of the name, `cookie` (> 0, ascending,
   * stable) the position behind it. `entry.idHi/idLo` both 0: the name is listed but not
   * looked up (only `attr.ino*` and the type bits of `attr.mode` are used then). Returns false
   * when the record did not fit: stop, the caller comes back with the last cookie taken.
   */
  add(name: Uint8Array, start: number, end: number, cookie: number, entry: Entry): boolean
}

/** Where the bytes of a regular file are. */
export interface Content {
  readonly stream: ReadAt
  /** First byte of the file in the stream. */
  readonly start: number
  readonly size: number
}

/** Numbers of one file in a run: node (two u32), first byte in the stream, size, entry. */
export const FILE_RUN_FIELDS = 5

/** Regular files that follow one another in a directory; their contents are in one stream and never change. */
export interface FileRun {
  readonly stream: ReadAt | undefined
  /** FILE_RUN_FIELDS numbers each. */
  readonly files: Float64Array
  /** The entry behind the last one that was looked at. */
  readonly end: number
  /** Set when the run ended because what comes next has to be loaded: settles when that was tried. */
  readonly loading: Promise<unknown> | undefined
}

/** The regular files of one directory, numbered as its entries are in the archive. */
export interface DirFiles {
  /** Tells directories apart. */
  readonly key: string
  /** Number of a file; -1: not in this directory, or that is not known any more. */
  indexOf(file: NodeId): number
  /** Files from entry `from` on, up to entry `to`, as far as they are in memory. */
  run(from: number, to: number): FileRun
}

/** Where a node is, for people. */
export interface NodePlace {
  /** The archive it is in; absent: it lies beside the archives. */
  readonly archive?: string
  /** Path in that archive, else in the mount, from its root on; escaped. Ends in `...` where it is not known further. */
  readonly file: string
}

export interface FsStats {
  /** Bytes of everything shown, as far as it is known. */
  readonly totalBytes: number
  readonly files: number
}

/** Files of a tree that can be written to: disks over which something lies that takes the changes. */
export interface TreeWrites {
  isWritable(node: NodeId): MaybePromise<boolean>
  /** Inside the file. Resolves when reads have the bytes. The bytes are not looked at behind that. */
  write(node: NodeId, offset: number, bytes: Uint8Array): Promise<void>
  /** Makes a range inside the file read as zeros. */
  zero(node: NodeId, offset: number, length: number): Promise<void>
  /** What was written is safe from a loss of power. */
  flush(node: NodeId): Promise<void>
}

export interface Tree {
  /** undefined: no such name. `negativeTtl` tells how long that may be remembered. */
  lookup(parent: NodeId, name: Uint8Array): MaybePromise<Entry | undefined>
  /** Seconds a missing name of this directory stays missing: 0 or FOREVER. */
  negativeTtl(parent: NodeId): number
  getattr(node: NodeId): MaybePromise<Attr>
  /** Calls the sink for every entry behind `cookie` (0: from the start), `.` and `..` first. */
  list(dir: NodeId, cookie: number, sink: DirSink): MaybePromise<void>
  readlink(node: NodeId): MaybePromise<Uint8Array>
  content(node: NodeId): MaybePromise<Content>
  /** The files of a directory that was just listed; undefined: nothing is known of them. */
  filesIn?(dir: NodeId): DirFiles | undefined
  /** The files of the directory that a file is in. */
  filesBeside?(file: NodeId): MaybePromise<DirFiles | undefined>
  /** Where a node is; may read directories. undefined: it is not known any more. Never rejects. */
  placeOf?(node: NodeId): Promise<NodePlace | undefined>
  /** undefined: no such attribute (ENODATA). */
  getxattr(node: NodeId, name: Uint8Array): MaybePromise<Uint8Array | undefined>
  /** Names without NUL. */
  listxattr(node: NodeId): MaybePromise<Uint8Array[]>
  /** True: it is known that no node has extended attributes or will ever have any. */
  readonly isPlain?: boolean
  /** False: names and sizes in the directory lie between contents, which a walk has to read. */
  isQuickToWalk?(dir: NodeId): MaybePromise<boolean>
  /** The kernel now knows `count` more references to the node; called after the reply was written. */
  remember(hi: number, lo: number, count: number): void
  /** The kernel dropped `count` references. */
  forget(hi: number, lo: number, count: number): void
  /**
   * Present when it matters which files are open. Whoever opens one calls this, and `release` with the
   * handle it gave (0: nothing to release). Rejects with ESTALE when it is not that file any more.
   */
  readonly open?: ((node: NodeId) => MaybePromise<number>) | undefined
  readonly release?: ((handle: number) => void) | undefined
  statfs(): FsStats
  /** Absent: nothing can be changed. */
  readonly writes?: TreeWrites | undefined
}

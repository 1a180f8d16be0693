import type { Manifest, ManifestFile } from './manifest.js'
import type { BackupType } from './names.js'

/** Components of a namespace; empty: the root namespace. */
export type Namespace = readonly string[]

export interface GroupRef {
  readonly ns: Namespace
  readonly type: BackupType
  readonly id: string
}

export interface SnapshotRef {
  readonly group: GroupRef
  /** The name of the folder as it is, also when it is not the canonical form of its time. */
  readonly time: string
}

/** Something in the store that is not shown, and why. */
export interface Skipped {
  /** Relative to the store, escaped for display. */
  readonly path: string
  readonly reason: string
}

export interface Listing<T> {
  readonly entries: readonly T[]
  readonly skipped: readonly Skipped[]
}

/** Tells cheaply whether a file is still the one seen before. */
export interface FileStamp {
  /** Differs when the file was replaced or written to. */
  readonly identity: string
  readonly mtimeMs: number
  readonly size: number
}

export interface SnapshotEntry {
  readonly time: string
  /** Unix seconds; of names that are not canonical the normalised time. */
  readonly epoch: number
  /** Of the manifest. */
  readonly manifest: FileStamp
}

export interface GroupInfo {
  /** First line of `owner`; absent when there is no such file. */
  readonly owner: string | undefined
  readonly notes: Uint8Array | undefined
}

export interface SnapshotInfo {
  /** Of the manifest. */
  readonly stamp: FileStamp
  readonly protected: boolean
}

export interface SnapshotManifest extends SnapshotInfo {
  readonly manifest: Manifest
  /** The JSON the manifest was parsed from: what a signature is computed over. */
  readonly json: Uint8Array
  /** Contradictions between the manifest and where it lies. */
  readonly warnings: readonly string[]
}

export interface SnapshotFile {
  readonly name: string
  /** What the manifest says; absent for the manifest itself and the client's log. */
  readonly entry: ManifestFile | undefined
  /** Absent: the manifest lists it, but there is no such (regular) file. */
  readonly stamp: FileStamp | undefined
}

export interface StoreInfo {
  readonly path: string
  /** The cache folder of a store in an S3 bucket: chunks may be absent without being damaged. */
  readonly s3Cache: boolean
  /** Sentences for the user: what kind of store this is, what cannot be read in it. */
  readonly remarks: readonly string[]
  /** Errno name when no chunk can be read; one of the remarks says why. */
  readonly unreadable?: string | undefined
}

/** The server of this host, as far as locks are concerned. */
export interface ServerPlace {
  /** Name of the store in the server's configuration; undefined: not known. */
  readonly store: string | undefined
  /** Folder of the server's lock files and the like. */
  readonly runtimeDir: string
}

/** Why one of the two kinds of lock is not held. */
export interface LockProblem {
  /** Servers before 3.3.5 (and after an upgrade until the next boot) lock the `folder`, later ones a `file`. */
  readonly kind: 'folder' | 'file'
  /** Errno name, or `unknown`. */
  readonly code: string
  readonly message: string
}

/** The shared lock of a snapshot. */
export interface SnapshotLock {
  readonly id: number
  /** Empty: held in full. */
  readonly problems: readonly LockProblem[]
  /** Of the manifest, looked at under the lock. */
  readonly stamp: FileStamp
}

/**
 * A datastore, read only: names, manifests and small files. Chunks come from a ChunkSource, which
 * every thread opens for itself. Failures reject with SourceError (storage), FormatError,
 * IntegrityError, TruncatedError (content).
 */
export interface Datastore {
  /** For opening chunk sources, in any thread. */
  readonly descriptor: SourceDescriptor
  describe(): Promise<StoreInfo>
  /** Names of the namespaces directly below `ns`, sorted. */
  listNamespaces(ns: Namespace): Promise<Listing<string>>
  /** Sorted by type (ct, host, vm) and id. Groups may have no snapshot. */
  listGroups(ns: Namespace): Promise<Listing<GroupRef>>
  /** Finished snapshots only (their manifest is there), oldest first. */
  listSnapshots(group: GroupRef): Promise<Listing<SnapshotEntry>>
  groupInfo(group: GroupRef): Promise<GroupInfo>
  /** undefined: gone, or not finished. */
  snapshotInfo(snapshot: SnapshotRef): Promise<SnapshotInfo | undefined>
  readManifest(snapshot: SnapshotRef): Promise<SnapshotManifest>
  /** What belongs to the snapshot: its manifest, what that lists, and the client's log when there. */
  listFiles(snapshot: SnapshotRef, manifest?: Pick<Manifest, 'files'>): Promise<readonly SnapshotFile[]>
  /** A file as it is stored (blobs encoded), at most `maxBytes`. The result owns its memory. */
  readFile(snapshot: SnapshotRef, name: string, maxBytes: number): Promise<Uint8Array>
  /** Up to `length` bytes of a file as it is stored, from `offset`; fewer only at its end. The result owns its memory. */
  readPart(snapshot: SnapshotRef, name: string, offset: number, length: number): Promise<Uint8Array>
  /**
   * Locks the snapshot as a reader of the server does; never waits for a lock. undefined: gone, or
   * not finished. Rejects with BusyError when it is being written or removed. Held until
   * `unlockSnapshot` or `close`.
   */
  lockSnapshot(snapshot: SnapshotRef, server: ServerPlace): Promise<SnapshotLock | undefined>
  unlockSnapshot(snapshot: SnapshotRef, id: number): Promise<void>
  close(): Promise<void>
}

/** Everything a thread needs to open a chunk source of its own; survives a thread boundary. */
export type SourceDescriptor = LocalSourceDescriptor

export interface LocalSourceDescriptor {
  readonly kind: 'local'
  /** The datastore directory; bytes when it is not UTF-8. */
  readonly path: string | Uint8Array
  /** Known to be (not to be) the cache folder of an S3 store; absent: found out when it matters. */
  readonly s3Cache?: boolean
}

/** Ask for a digest, get a blob. */
export interface ChunkSource {
  /**
   * The chunk file as it is stored, not checked in any way. The result is only valid until the
   * next call. Throws (or rejects with) ChunkUnavailableError, SourceError, IntegrityError (a
   * file that cannot be a chunk by its length).
   */
  readChunk(digest: Uint8Array): Uint8Array | Promise<Uint8Array>
  close(): void
}

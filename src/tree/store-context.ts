import type { ReadAt } from '../bytes/read-at.js'
import type { KeyError, PbsfsError } from '../errors/errors.js'
import type { Datastore, SnapshotManifest, SnapshotRef } from '../source/datastore.js'
import type { ManifestFile } from '../source/manifest.js'
import type { ArchiveSet } from './archive-set.js'
import type { NodeRegistry } from './node-registry.js'
import type { SnapshotHolds } from './snapshot-holds.js'
import type { MaybePromise } from './tree.js'
import type { Owner } from './virtual-node.js'
import type { ImageOverlays } from './writable-disk.js'

/** What the keys that were given make of a snapshot. */
export interface SnapshotTrust {
  /** `verified`, `wrong`, `missing`, `none` (never signed), or `not verified:` and why. */
  readonly signature: string
  /** The key its encrypted files need and those that were given; undefined: it is there, or none is needed. */
  readonly needs: string | undefined
  /** The same as the error that opening an encrypted file gives. */
  readonly missingKey: KeyError | undefined
  /** Why nothing of it is opened. */
  readonly refusal: PbsfsError | undefined
}

/** How the tree gets at what a snapshot's files hold; what stands behind it is not its business. */
export interface StreamOpener {
  /**
   * The stream an index file describes, as long as the manifest says. The index is read, and
   * checked against the manifest `seen`, when something of it is needed; that may fail each time.
   */
  stream(snapshot: SnapshotRef, file: ManifestFile, seen: SnapshotManifest): ReadAt
  /** The decoded content of a `*.blob` file; `expected`: what the manifest says of it, if it lists it. */
  openBlob(snapshot: SnapshotRef, filename: string, seen: SnapshotManifest, expected?: ManifestFile): MaybePromise<ReadAt>
  /** Never rejects for what is wrong with keys or signature. */
  trust(snapshot: SnapshotRef, seen: SnapshotManifest): MaybePromise<SnapshotTrust>
}

/** What every node of the store needs. */
export interface StoreContext {
  readonly datastore: Datastore
  readonly opener: StreamOpener
  readonly registry: NodeRegistry
  readonly archives: ArchiveSet
  readonly owner: Owner
  /** Absent: snapshots are not locked. */
  readonly holds?: SnapshotHolds | undefined
  /** Absent: images cannot be written to. */
  readonly overlays?: ImageOverlays | undefined
  /** Seconds since the epoch; the time of folders that have none of their own. */
  readonly since: number
  /** Notes what is wrong with something that is shown all the same; `path` is for people. */
  report(problem: PbsfsError, path: string): void
}

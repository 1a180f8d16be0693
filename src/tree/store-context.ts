import type { ReadAt } from '../bytes/read-at.js'
import type { Datastore, SnapshotRef } from '../source/datastore.js'
import type { ManifestFile } from '../source/manifest.js'
import type { ArchiveSet } from './archive-set.js'
import type { NodeRegistry } from './node-registry.js'
import type { MaybePromise } from './tree.js'
import type { Owner } from './virtual-node.js'

/** How the tree gets at what a snapshot's files hold; what stands behind it is not its business. */
export interface StreamOpener {
  /**
   * The stream an index file describes, as long as the manifest says. The index is read, and
   * checked against the manifest, when something of it is needed; that may fail each time.
   */
  stream(snapshot: SnapshotRef, file: ManifestFile): ReadAt
  /** The decoded content of a `*.blob` file. */
  openBlob(snapshot: SnapshotRef, filename: string, expected?: ManifestFile): MaybePromise<ReadAt>
}

/** What every node of the store needs. */
export interface StoreContext {
  readonly datastore: Datastore
  readonly opener: StreamOpener
  readonly registry: NodeRegistry
  readonly archives: ArchiveSet
  readonly owner: Owner
  /** Seconds since the epoch; the time of folders that have none of their own. */
  readonly since: number
}

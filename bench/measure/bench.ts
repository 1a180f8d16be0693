import type { Params } from '../params.js'
import { PLACES } from '../writer/parts.js'
import type { MountSet } from './mounts.js'

/** What every group works with. */
export interface Bench {
  readonly params: Params
  /** Where the data are. */
  readonly folder: string
  readonly mounts: MountSet
  /** A folder in memory, for copies. */
  readonly memoryFolder: string
  readonly isRoot: boolean
  /** Images can be made block devices. */
  readonly canMap: boolean
  /** There is a client for images that are served over NBD. */
  readonly canCopyNbd: boolean
}

/** Arguments of `pbsfs mount` that are the same everywhere. */
export function mountArgs(bench: Bench): string[] {
  return ['--cache-size', String(bench.params.cacheBytes)]
}

export function archiveSource(bench: Bench, id: string): string {
  return `${PLACES.store(bench.folder)}::host/${id}/latest/root.pxar`
}

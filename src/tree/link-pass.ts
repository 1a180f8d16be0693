import type { ReadAt } from '../bytes/read-at.js'
import type { PxarArchive } from '../pxar-decode/archive.js'
import { Catalog } from '../pxar-decode/catalog.js'
import { countLinks, countLinksByCatalog } from '../pxar-decode/link-counts.js'
import type { ArchiveSpec } from './archive-set.js'

/**
 * How the hard links of an archive are found: by the catalog of its snapshot, which is small
 * and tells at once when there are none, else by a pass over the archive. A catalog that
 * cannot be read is no reason to give up.
 */
export function linkPass(catalogStream: ReadAt | undefined, filename: string): ArchiveSpec['countLinks'] {
  return async (pxar: PxarArchive, signal: AbortSignal) => {
    if (catalogStream !== undefined) {
      try {
        const catalog = await Catalog.open(catalogStream)
        const counts = await countLinksByCatalog(pxar, catalog, filename, { signal })
        if (counts !== undefined) return counts
      } catch (error) {
        if (signal.aborted) throw error
      }
    }
    return countLinks(pxar, { signal })
  }
}

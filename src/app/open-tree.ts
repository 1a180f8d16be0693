import { UsageError } from '../errors/errors.js'
import type { ResolvedSource } from '../source/resolve-source.js'
import { openLoneArchive } from './open-lone-archive.js'
import type { OpenSettings, OpenTree } from './open-settings.js'
import { openStore } from './open-store.js'

/** Opens what SOURCE means as a file tree. Rejects with what the user has to know. */
export async function openTree(source: ResolvedSource, settings: OpenSettings): Promise<OpenTree> {
  if (source.kind === 'archive' && (settings.fallbacks ?? []).length > 0) {
    throw new UsageError('--fallback is for datastores: a lone archive has no chunks')
  }
  if (source.kind === 'archive' && settings.overlays !== undefined) {
    throw new UsageError('--overlay is for the disk images of a datastore; a lone archive has none')
  }
  return source.kind === 'archive' ? openLoneArchive(source, settings) : openStore(source, settings)
}

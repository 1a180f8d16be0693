import type { ChunkSource, SourceDescriptor } from './datastore.js'
import { LocalChunks } from './local-chunks.js'

export function openChunkSource(descriptor: SourceDescriptor): ChunkSource {
  return new LocalChunks(descriptor)
}

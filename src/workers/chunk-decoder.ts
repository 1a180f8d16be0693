import { decodeChunk } from '../blob/decode.js'
import type { ChunkSource } from '../source/datastore.js'

/** What is known about a chunk before it is read. */
export interface ChunkRequest {
  readonly digest: Uint8Array
  readonly encrypted: boolean
  readonly stream: string
}

/** Reads, decodes and verifies chunks, trying one source after the other. */
export class ChunkDecoder {
  readonly #sources: readonly ChunkSource[]

  constructor(sources: readonly ChunkSource[]) {
    this.#sources = sources
  }

  /** Fills `target`, whose length is the chunk's, or throws the first source's error. */
  async decode(request: ChunkRequest, target: Uint8Array): Promise<void> {
    let failure: unknown
    for (const source of this.#sources) {
      try {
        const blob = source.readChunk(request.digest)
        decodeChunk(blob instanceof Promise ? await blob : blob, request.digest, target, request.encrypted)
        return
      } catch (error) {
        failure ??= error
      }
    }
    throw failure
  }
}

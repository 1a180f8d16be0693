import { decodeChunk } from '../blob/decode.js'
import type { BlobKey } from '../blob/decrypt.js'
import type { ChunkSource } from '../source/datastore.js'
import type { DecoderKey } from './messages.js'

/** What is known about a chunk before it is read. */
export interface ChunkRequest {
  readonly digest: Uint8Array
  /** undefined: either will do. */
  readonly encrypted: boolean | undefined
  readonly keyId?: number | undefined
  readonly stream: string
}

/** Reads, decodes and verifies chunks, trying one source after the other. */
export class ChunkDecoder {
  readonly #sources: readonly ChunkSource[]
  readonly #keys = new Map<number, BlobKey>()

  constructor(sources: readonly ChunkSource[], keys: readonly DecoderKey[] = []) {
    this.#sources = sources
    for (const key of keys) this.addKey(key)
  }

  addKey({ id, key }: DecoderKey): void {
    this.#keys.set(id, key)
  }

  /** Fills `target`, whose length is the chunk's, or throws the first source's error. */
  async decode(request: ChunkRequest, target: Uint8Array): Promise<void> {
    const key = request.keyId === undefined ? undefined : this.#keys.get(request.keyId)
    let failure: unknown
    for (const source of this.#sources) {
      try {
        const blob = source.readChunk(request.digest)
        decodeChunk(blob instanceof Promise ? await blob : blob, request.digest, target, request.encrypted, key)
        return
      } catch (error) {
        failure ??= error
      }
    }
    throw failure
  }
}

import { decodeChunk } from '../blob/decode.js'
import type { BlobKey } from '../blob/decrypt.js'
import { fromPlainError, isPbsfsError, KeyError, messageOf, toPlainError } from '../errors/errors.js'
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

  /**
   * Fills `target`, whose length is the chunk's. undefined: from the first source; else the number of
   * the one that had it, and what was wrong in the first. Throws when none has it, or a key is missing.
   */
  async decode(request: ChunkRequest, target: Uint8Array): Promise<Substitute | undefined> {
    const key = request.keyId === undefined ? undefined : this.#keys.get(request.keyId)
    const failures: unknown[] = []
    for (const [i, source] of this.#sources.entries()) {
      try {
        const blob = source.readChunk(request.digest)
        decodeChunk(blob instanceof Promise ? await blob : blob, request.digest, target, request.encrypted, key)
        return i === 0 ? undefined : { source: i, error: failures[0] }
      } catch (error) {
        // The same key would be missing everywhere.
        if (error instanceof KeyError) throw failures[0] ?? error
        failures.push(error)
      }
    }
    throw joinFailures(failures)
  }
}

/** A source other than the first had the chunk. */
export interface Substitute {
  readonly source: number
  /** Why the first one did not. */
  readonly error: unknown
}

/** The first failure, with what the other sources said. */
function joinFailures([first, ...others]: readonly unknown[]): unknown {
  if (!isPbsfsError(first) || others.length === 0) return first
  const said = others.map(messageOf)
  return fromPlainError({ ...toPlainError(first), message: `${first.message}; fallback: ${said.join('; ')}` })
}

import type { BlobKey } from '../blob/decrypt.js'
import type { PlainError } from '../errors/errors.js'
import type { SourceDescriptor } from '../source/datastore.js'

/** A key under the number that requests name it by. */
export interface DecoderKey {
  readonly id: number
  readonly key: BlobKey
}

/** What a decode thread is told first. */
export interface DecoderSetup {
  /** The chunk cache's memory; results are written there. */
  readonly memory: SharedArrayBuffer
  /** Where blobs are read; index 0 is the datastore itself. */
  readonly sources: readonly SourceDescriptor[]
  /** Descriptor that answers are written to. */
  readonly replyFd?: number
  /** Keys known by then; others follow as messages. */
  readonly keys?: readonly DecoderKey[]
}

/** A complete reply that the thread writes as soon as the chunk is decoded: header, then ranges of the memory. */
export interface Answer {
  readonly header: Uint8Array
  /** offset, length, offset, length ... in the shared memory. */
  readonly ranges: readonly number[]
}

/** Decode one chunk into `[offset, offset+length)` of the memory, verify it, send the answers. */
export interface DecodeRequest {
  readonly id: number
  readonly digest: Uint8Array
  readonly offset: number
  readonly length: number
  /** What the manifest says of the archive: its chunks are encrypted, or not; undefined: either will do. */
  readonly encrypted: boolean | undefined
  /** The key of the archive, when there is one. */
  readonly keyId?: number | undefined
  /** Stream that asked, for messages. */
  readonly stream: string
  readonly answers: readonly Answer[]
}

/** What a decode thread is sent: its setup first, a key before the first request that needs it. */
export type ToDecoder = { readonly setup: DecoderSetup } | { readonly addKey: DecoderKey } | DecodeRequest

/** Exactly one for each request. `unsent`: indices of answers that could not be written. */
export interface DecodeResult {
  readonly id: number
  readonly error?: PlainError
  readonly unsent?: readonly number[]
  /** The chunk came from this one of the sources, because the first could not give it. */
  readonly substitute?: { readonly source: number; readonly error: PlainError }
}

/** Answer to the setup: the thread is ready, or why it is not. */
export interface DecoderHello {
  readonly hello: true
  readonly error?: PlainError
}

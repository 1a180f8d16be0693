import type { PlainError } from '../errors/errors.js'
import type { SourceDescriptor } from '../source/datastore.js'

/** What a decode thread is given at its start. */
export interface DecoderSetup {
  /** The chunk cache's memory; results are written there. */
  readonly memory: SharedArrayBuffer
  /** Where blobs are read; index 0 is the datastore itself. */
  readonly sources: readonly SourceDescriptor[]
  /** Descriptor that answers are written to. */
  readonly replyFd?: number
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
  /** What the manifest says of the archive: its chunks are encrypted, or not. */
  readonly encrypted: boolean
  /** Stream that asked, for messages. */
  readonly stream: string
  readonly answers: readonly Answer[]
}

/** Exactly one for each request. `unsent`: indices of answers that could not be written. */
export interface DecodeResult {
  readonly id: number
  readonly error?: PlainError
  readonly unsent?: readonly number[]
}

/** First message of a thread: it is ready, or why it is not. */
export interface DecoderHello {
  readonly hello: true
  readonly error?: PlainError
}

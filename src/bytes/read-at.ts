/**
 * A logical byte stream with random access: an archive's metadata, a payload stream, a disk
 * image. What stands behind it (chunks, a file, an array) is nobody's business but its maker's.
 */
export interface ReadAt {
  /** For error messages: archive name or path. */
  readonly name: string
  /** Length in bytes, at most 2^53-1. */
  readonly size: number

  /**
   * The bytes `[offset, offset+length)` if they are in memory in one piece, else undefined.
   * Never waits. The view is only valid until control returns to the event loop: copy what
   * must live longer. The range must lie inside the stream.
   */
  peek(offset: number, length: number): Uint8Array | undefined

  /**
   * A private copy of `[offset, offset+length)`, always complete. A range that leaves the
   * stream rejects with TruncatedError; damage below rejects with the error that names it.
   */
  read(offset: number, length: number): Promise<Uint8Array>

  /**
   * First byte at or after `offset` that may be non-zero, or `size` if there is none; and the
   * first byte at or after `offset` known to be zero without reading, or `size`. Streams that
   * know nothing of holes leave these out: they are all data.
   */
  nextData?(offset: number): number
  nextHole?(offset: number): number

  /** Bytes of `[offset, offset+length)` that are not known to be zero; left out: all of them. */
  countData?(offset: number, length: number): number

  /**
   * `[offset, offset+length)` as a place in the shared memory that decode threads fill, kept
   * there until `release` is called; undefined when it is not in memory in one piece.
   */
  share?(offset: number, length: number): SharedRange | undefined

  /**
   * A reader got these bytes through `peek`: the stream may load what comes next, and forget what lies behind them unless they will be
   * read `again`. Ends the life of views from `peek`.
   */
  noteRead?(offset: number, length: number, again?: boolean): void

  /**
   * What lies at `offset` will be read soon: the stream may begin to load it. Returns where the piece
   * that comes along with it ends. Ends the life of views from `peek`.
   */
  expect?(offset: number): number

  /**
   * A text that is the same for two ranges only if their bytes are: told without reading them, and not always where
   * they are. undefined: nothing can be told.
   */
  identify?(offset: number, length: number): string | undefined

  /** Bytes that were read through this object so far and are lost: zeros stand in their place. Absent: none, ever. */
  readonly lostBytes?: number

  /** How the stream is cut into chunks; undefined: it is not, or that is not known yet (`prepare`). */
  readonly chunks?: StreamChunks | undefined

  /**
   * Brings into memory what `nextData` and `nextHole` answer from; before that a stream may take
   * everything for data. undefined: it is there. Rejects when the stream cannot be opened.
   */
  prepare?(): Promise<void> | undefined

  /**
   * As `read`, but where damage keeps bytes from being read there are zeros and an entry of `lost`,
   * for exactly those bytes. What is no damage (a missing key, an end of the threads) rejects.
   */
  salvage?(offset: number, length: number): Promise<Salvaged>

  /**
   * As `read`, without a copy where that can be: the bytes where they lie, kept there until they are given back.
   * Give them back soon: what is lent takes room from what others need.
   */
  lend?(offset: number, length: number): LentBytes | Promise<LentBytes>

  /**
   * Sends `[offset, offset+length)` (inside the stream) straight to a file descriptor, behind
   * `reply.header`, in one write; whichever thread completes the data does the writing.
   * Returns at once. Exactly one of `reply.done`, `reply.send` and `reply.fail` is called, once,
   * later or before it returns; before the latter two nothing was written.
   */
  deliver?(offset: number, length: number, reply: DirectReply): void
}

/** Bytes of a range, one piece behind the other. */
export interface LentBytes {
  readonly pieces: readonly Uint8Array[]
  /** Nobody looks at the pieces any more; called once. */
  readonly release: () => void
}

/** What could be read of a range, and what could not. */
export interface Salvaged {
  readonly bytes: Uint8Array
  readonly lost: readonly LostRange[]
}

/** Bytes of the stream that was asked which cannot be read, and why. */
export interface LostRange {
  readonly offset: number
  readonly length: number
  readonly error: unknown
}

/** The chunks of a stream, in order. */
export interface StreamChunks {
  readonly count: number
  /** Bytes of each chunk but the last; undefined: they differ. */
  readonly chunkSize: number | undefined
  /** SHA-256 over the entries of the index, hex: tells this state of the stream from any other. */
  readonly csum: string
  /**
   * What goes into a digest beside the bytes: `plain`, or the fingerprint of a key. Where it is not the same in two
   * streams, different digests say nothing; equal ones always mean equal bytes. undefined: it is not known.
   */
  readonly digestDomain: string | undefined
  /**
   * The digests of chunk `i` and of those behind it that are in memory in one piece, 32 bytes each; valid until
   * control returns to the event loop.
   */
  digestsFrom(i: number): Uint8Array
  /** What to wait for before `digestsFrom` of chunk `i`; then ask again. */
  pending?(i: number): Promise<void> | undefined
}

export interface SharedRange {
  readonly offset: number
  release(): void
}

/** A reply waiting for data. */
export interface DirectReply {
  /** Written in front of the data; not changed after `deliver`. */
  readonly header: Uint8Array
  /** All that was waited for is there: calls `send` soon, when nobody waits for less. */
  ready(send: () => void): void
  done(): void
  /** All of the data, from a stream that could not send it in one write; the caller sends it now. */
  send(bytes: Uint8Array): void
  fail(error: unknown): void
}

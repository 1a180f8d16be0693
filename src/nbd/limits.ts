const KiB = 1024
const MiB = 1024 * KiB

/** What clients are told of the sizes of requests. Any byte can be read by itself: images need not end with a block. */
export const BLOCK_SIZE = { minimum: 1, preferred: 4 * KiB, maximum: 32 * MiB } as const

/** Data of one option that is looked at: two strings and room for a list. Longer ones are skipped up to the largest request. */
export const MAX_OPTION_BYTES = 64 * KiB

/** Options of one client; a negotiation has about ten. */
export const MAX_OPTIONS = 1024

/** What may be unlike for tests. */
export interface NbdLimits {
  readonly connections: number
  /** From the first byte to the choice of an export, TLS included. */
  readonly negotiationMs: number
  /** Requests of one connection that wait for their answer; further ones wait in the socket. */
  readonly requests: number
  /** Bytes of answers of one connection that are on their way. One request is always taken. */
  readonly connectionBytes: number
  /** The same of all connections together. */
  readonly totalBytes: number
  /** A client that takes nothing for so long is dropped when others wait for its room. */
  readonly stalledMs: number
  /** A request that waits longer is named in the log, once. */
  readonly slowMs: number
  /** How often such clients and requests are looked for. */
  readonly tendMs: number
  /** At the end, for what was asked for before. */
  readonly closingMs: number
}

export const DEFAULT_LIMITS: NbdLimits = {
  connections: 256,
  negotiationMs: 30_000,
  requests: 256,
  connectionBytes: BLOCK_SIZE.maximum,
  totalBytes: 4 * BLOCK_SIZE.maximum,
  stalledMs: 30_000,
  slowMs: 10_000,
  tendMs: 2_000,
  closingMs: 10_000,
}

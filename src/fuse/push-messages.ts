/** What the push thread is started with. */
export interface PusherSetup {
  readonly fd: number
  /** Holds the contents. */
  readonly memory: SharedArrayBuffer
}

/** Numbers of one file in a batch: node (two u32), place in the memory, length. */
export const BATCH_FIELDS = 4

/** Files to put into the kernel's page cache; `files` has BATCH_FIELDS numbers each. */
export interface PushBatch {
  readonly id: number
  readonly files: Float64Array
}

/** The batch is done with, its memory may be released. `gone`: the mount has ended. */
export interface PushedBatch {
  readonly id: number
  readonly stored: number
  readonly gone: boolean
  /** Errors that should not happen, as text. */
  readonly fault?: string
}

import type { ChunkCache } from '../cache/chunk-cache.js'
import type { Log } from '../errors/log.js'
import type { MountSecrets } from '../keys/secrets.js'
import type { ChunkLoader } from '../reader/chunk-loader.js'
import type { FsPath } from '../source/fs-paths.js'
import type { Tree } from '../tree/tree.js'
import type { ProblemLog } from './problem-log.js'
import type { SpareThreads } from './spare-threads.js'
import type { LockReport, LockSettings } from './snapshot-locking.js'

export interface OpenSettings {
  /** For decoded chunks and directories. */
  readonly cacheBytes: number
  /** Decode threads. */
  readonly decoders: number
  /** Descriptor of the kernel's channel, for replies that decode threads write. */
  readonly replyFd?: number
  /** Keys of encrypted and signed snapshots. */
  readonly secrets?: MountSecrets
  /** Show what contradicts its manifest or signature, with a warning. */
  readonly force?: boolean
  /** `zero`: lost bytes of files are read as zeros, and named in log and problems. Absent: reading them fails. */
  readonly damaged?: 'zero' | undefined
  /** Datastores that a chunk is taken from when it is missing or bad in this one; see `fallback-stores.ts`. */
  readonly fallbacks?: readonly FsPath[] | undefined
  /** Folder of overlays: images can be written to, and it takes the changes. */
  readonly overlays?: Buffer | undefined
  /** Absent: snapshots are locked where a server of this host has the store, from when they are entered to the end. */
  readonly locks?: LockSettings | undefined
  /** Threads that run already. */
  readonly spares?: SpareThreads | undefined
  readonly log: Log
  readonly problems: ProblemLog
  /** Text of `.pbsfs/status`. */
  readonly renderStatus: () => Promise<string>
}

/** What is known of a source at this moment. */
export interface SourceState {
  readonly path: string
  readonly kind: string
  readonly state: 'ok' | 'stalled' | 'failed'
  readonly message?: string
}

/** How much of `cacheBytes` is taken. */
export interface CacheUse {
  readonly limitBytes: number
  readonly usedBytes: number
  readonly chunks: number
}

export interface OpenTree {
  readonly tree: Tree
  readonly cache: ChunkCache | undefined
  /** undefined: not of a datastore. */
  cacheUse(): CacheUse | undefined
  readonly loader: ChunkLoader | undefined
  sources(): readonly SourceState[]
  /** The mount answers: starts the threads that much work will need. */
  warmUp(): void
  /** undefined: not of a datastore, so there is nothing to lock. */
  locks(): LockReport | undefined
  /** Ends threads and gives files back. Idempotent. */
  close(): Promise<void>
}

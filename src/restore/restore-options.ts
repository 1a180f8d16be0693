import type { PathSelection } from './path-selection.js'

/** How entries are to be restored. */
export interface RestoreOptions {
  /** What is there and differs is replaced; without it, it is left alone and named. */
  readonly replace: boolean
  readonly ignoreOwnership: boolean
  readonly ignorePermissions: boolean
  readonly ignoreAcls: boolean
  readonly ignoreXattrs: boolean
  /** Writes nothing. */
  readonly dryRun: boolean
  readonly selection: PathSelection
  /** Ends the work between two writes, with AbortedError; nothing half-written keeps a final name. */
  readonly signal: AbortSignal
  /** What failed for one entry alone; the work goes on. `path`: below the target. */
  readonly onProblem: (error: unknown, path: Buffer) => void
  /** Each entry that is or (in a dry run) would be written. */
  readonly onEntry?: (path: Buffer, what: 'new' | 'changed') => void
  readonly onProgress?: (progress: RestoreProgress) => void
}

/** A mutable record, the same at each call. */
export interface RestoreProgress {
  /** Entries, and bytes of regular files, that are done. */
  entries: number
  bytes: number
  /** Where in the stream of contents the work is, and how long that is. */
  position: number
  streamSize: number
  /** What is being worked on, below the target. */
  path: Buffer
}

/** What came of it. */
export interface RestoreSummary {
  /** Regular files written, and their bytes. */
  files: number
  bytes: number
  folders: number
  symlinks: number
  hardLinks: number
  /** Devices, pipes and sockets. */
  specials: number
  /** Were there already, the same in type, size and time. */
  kept: number
  /** Of those written: something else was there before. */
  replaced: number
  /** Left alone because something else is there. */
  conflicts: number
  /** Entries with a problem of their own. */
  failed: number
  /** What could not be set though it was wanted, and for how many entries. */
  readonly unset: Map<Unset, number>
}

export type Unset = 'owner' | 'mode' | 'setuid' | 'acl' | 'capability' | 'xattr' | 'time' | 'device' | 'hard-link'

export function emptySummary(): RestoreSummary {
  return {
    files: 0, bytes: 0, folders: 0, symlinks: 0, hardLinks: 0, specials: 0, kept: 0, replaced: 0, conflicts: 0, failed: 0,
    unset: new Map(),
  } // prettier-ignore
}

/** Entries written. */
export function countEntries({ files, folders, symlinks, hardLinks, specials }: RestoreSummary): number {
  return files + folders + symlinks + hardLinks + specials
}

import type { SnapshotRef } from '../source/datastore.js'
import type { VerifyState } from '../source/manifest.js'

/** A chunk that is not what the backups need. */
export interface BadChunk {
  /** Hex. */
  readonly digest: string
  readonly reason: string
}

/** Bytes `[start, end)` of an archive that are lost with a chunk. */
export interface LostBytes {
  readonly start: number
  readonly end: number
  readonly digest: string
  readonly reason: string
}

/** A file, or a folder whose list of entries is lost, that bad chunks hit. */
export interface HitFile {
  /** Inside the archive. */
  readonly path: Buffer
  /** Names of other snapshots of the group that have it whole, with the same size and time, the newest first. */
  readonly wholeIn: readonly string[]
}

/** What was found out about one file of a snapshot: an index or a blob. */
export interface CheckedFile {
  readonly name: string
  /** Sentences: it is missing, or contradicts the manifest. */
  readonly problems: readonly string[]
  /** Why it was not, or not wholly, checked. */
  readonly unchecked: readonly string[]
  readonly lost: readonly LostBytes[]
  /** Absent: files were not looked for, or it holds none. */
  readonly files?: readonly HitFile[]
  /** Why the files that are hit cannot be named. */
  readonly unnamed?: string
}

export interface CheckedSnapshot {
  readonly snapshot: SnapshotRef
  /** What the server recorded when it last looked. */
  readonly recorded: VerifyState | undefined
  readonly problems: readonly string[]
  readonly files: readonly CheckedFile[]
}

export interface CheckReport {
  readonly snapshots: readonly CheckedSnapshot[]
  readonly badChunks: readonly BadChunk[]
  /** Distinct chunks that are referred to; those among them that could not be looked at. */
  readonly chunks: { readonly distinct: number; readonly unchecked: number; readonly bytes: number }
  /** Things beside the snapshots that could not be checked, as sentences. */
  readonly remarks: readonly string[]
}

export function isDamaged({ problems, files }: CheckedSnapshot): boolean {
  return problems.length > 0 || files.some((file) => file.problems.length > 0 || file.lost.length > 0)
}

export function isUnchecked({ files }: CheckedSnapshot): boolean {
  return files.some((file) => file.unchecked.length > 0)
}

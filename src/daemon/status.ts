/**
 * The JSON of `pbsfs status --json` and of the file `.pbsfs/status` in a mount. Programs read
 * it: fields are added, never changed; a change that breaks a reader raises the version. Paths
 * and names are text in which `\xNN` stands for a byte (`escapeName`).
 */
export const STATUS_VERSION = 1

export interface StatusDocument {
  readonly version: typeof STATUS_VERSION
  readonly mounts: readonly MountStatus[]
  /** Images that are block devices. */
  readonly maps: readonly MapStatus[]
}

/** A mapped image. */
export interface MapStatus {
  /** `/dev/loop0`; its partitions have `p1`, ... behind it. */
  readonly device: string
  /** Escaped. */
  readonly file: string
  readonly source: string
  /** `mapped`; `dead`: the daemon is gone, the device is still in use. */
  readonly state: 'mapped' | 'dead'
  readonly started: string
}

/**
 * `running`: the daemon lives and answered. `silent`: it lives and did not answer in time.
 * `leaving`: unmounted, files that are still open are served to their end. `dead`: the daemon is
 * gone, the mount is still there. `unknown`: a mount of which this user has no record (another
 * user's).
 */
export type MountState = 'running' | 'silent' | 'leaving' | 'dead' | 'unknown'

export interface MountStatus {
  readonly mountpoint: string
  readonly source: string
  readonly state: MountState
  readonly pid: number | null
  /** Seconds since the mount answered; null when not known. */
  readonly uptimeSeconds: number | null
  /** ISO 8601, UTC. */
  readonly started: string | null
  /** Version of pbsfs that serves the mount. */
  readonly pbsfs: string | null
  readonly driver: string | null
  /** Where the daemon's log is: a path, or `stderr`. */
  readonly log: string | null
  /** What the session thread says; null when it did not answer. */
  readonly session: SessionStatus | null
  /** Last warnings and errors of the log, oldest first, as lines. */
  readonly recent: readonly string[]
}

/** What the session thread knows of itself. */
export interface SessionStatus {
  readonly cache: CacheStatus
  readonly requests: RequestStatus
  readonly errors: ErrorSummary
  readonly sources: readonly SourceStatus[]
  /** Absent: not a datastore. */
  readonly locks?: LockStatus
}

/** The shared locks of snapshots, which keep the server of this host from removing them. */
export interface LockStatus {
  /** Why nothing is locked in this mount; absent: what is used is locked. */
  readonly none?: string
  readonly held: readonly HeldStatus[]
}

export interface HeldStatus {
  /** `ns/prod/host/web/2026-01-02T00:00:00Z`. */
  readonly snapshot: string
  readonly openFiles: number
  readonly idleSeconds: number
  /** false: not against every kind of server; the log says what is in the way. */
  readonly complete: boolean
}

/** Bytes and counts since the mount began. */
export interface CacheStatus {
  readonly limitBytes: number
  readonly usedBytes: number
  readonly chunks: number
  readonly hits: number
  readonly misses: number
}

export interface RequestStatus {
  readonly total: number
  readonly inFlight: number
  readonly bytesRead: number
}

export interface ErrorSummary {
  readonly count: number
  /** The latest different ones, oldest first; bounded. */
  readonly recent: readonly ErrorReport[]
}

export interface ErrorReport {
  /** ISO 8601, UTC. */
  readonly time: string
  readonly message: string
  readonly fields: Readonly<Record<string, string | number | boolean>>
  /** How often the same was seen. */
  readonly count: number
}

export interface SourceStatus {
  readonly path: string
  readonly kind: string
  /** `ok`, `stalled` (no answer for 30 s), `failed`. */
  readonly state: 'ok' | 'stalled' | 'failed'
  readonly message?: string
}

/** Whether a daemon's answer has the shape of this version where programs rely on it. */
export function isMountStatus(value: unknown): value is MountStatus {
  if (!isObject(value)) return false
  const texts = [value['mountpoint'], value['source'], value['state'], value['started'], value['pbsfs']]
  if (!texts.every((text) => typeof text === 'string') || typeof value['pid'] !== 'number') return false
  if (typeof value['uptimeSeconds'] !== 'number' || !Array.isArray(value['recent'])) return false
  return value['session'] === null || isSessionStatus(value['session'])
}

/** Whether what a session thread sent is a status. */
export function isSessionStatus(value: unknown): value is SessionStatus {
  if (!isObject(value)) return false
  const { cache, requests, errors, sources, locks } = value as { [name in keyof SessionStatus]?: unknown }
  return (
    isObject(cache) &&
    areNumbers(cache, ['limitBytes', 'usedBytes', 'chunks', 'hits', 'misses']) &&
    isObject(requests) &&
    areNumbers(requests, ['total', 'inFlight', 'bytesRead']) &&
    isObject(errors) &&
    areNumbers(errors, ['count']) &&
    Array.isArray(errors['recent']) &&
    Array.isArray(sources) &&
    (locks === undefined || (isObject(locks) && Array.isArray(locks['held'])))
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function areNumbers(value: Record<string, unknown>, names: readonly string[]): boolean {
  return names.every((name) => typeof value[name] === 'number')
}

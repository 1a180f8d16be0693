import { lstatSync, readFileSync, readdirSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isAlive, readProcessId, type ProcessId } from './process-id.js'

/** A record larger than this is not one of ours. */
const MAX_RECORD_BYTES = 64 * 1024

const MAX_LOG_AGE_MS = 24 * 3600 * 1000
/** Every start goes through the folder, on a host that mounts all day too. */
const MAX_ENDED_LOGS = 32

/** What a daemon leaves in the runtime folder while it serves a mount: `mount-PID.json`. */
export interface MountRecord extends ProcessId {
  /** Version of pbsfs. */
  readonly version: string
  /** Bytes as hex. */
  readonly mountpoint: string
  /** SOURCE as a person reads it. */
  readonly source: string
  readonly driver: string
  /** Log as a person reads it: a path, or `stderr`. */
  readonly log: string
  /** ISO 8601, UTC. */
  readonly started: string
  /** The mountpoint was made by the daemon and goes with the mount. */
  readonly createdMountpoint: boolean
}

export interface FoundRecord {
  readonly record: MountRecord
  readonly alive: boolean
}

export const recordPath = (folder: string, pid: number) => join(folder, `mount-${pid}.json`)
export const socketPath = (folder: string, pid: number) => join(folder, `mount-${pid}.sock`)

/** Written beside and renamed: a reader never sees half a record. */
export function writeRecord(folder: string, record: MountRecord): void {
  const path = recordPath(folder, record.pid)
  const temporary = `${path}.tmp`
  writeFileSync(temporary, JSON.stringify(record) + '\n', { mode: 0o600 })
  renameSync(temporary, path)
}

/** Removes record and socket of one daemon; what is not there is no error. */
export function removeRecord(folder: string, pid: number): void {
  for (const path of [recordPath(folder, pid), socketPath(folder, pid)]) removeFile(path)
}

/** All readable records; of dead daemons too. Files that are no record are passed over. */
export function listRecords(folder: string): FoundRecord[] {
  const found: FoundRecord[] = []
  for (const name of readFolder(folder)) {
    const pid = /^mount-(\d{1,10})\.json$/.exec(name)?.[1]
    const record = pid === undefined ? undefined : readRecord(join(folder, name))
    if (record !== undefined && record.pid === Number(pid)) found.push({ record, alive: isAlive(record) })
  }
  return found.sort((a, b) => (a.record.started < b.record.started ? -1 : 1))
}

/**
 * Removes the files of daemons that are gone: records that `isMounted` says no mount is left of,
 * sockets without a record, and logs after a day or when there are many (a daemon that died may
 * have said why). Returns the records that were removed.
 */
export function cleanRecords(folder: string, isMounted: (mountpoint: Buffer) => boolean): MountRecord[] {
  const removed: MountRecord[] = []
  const found = listRecords(folder)
  const served = new Set(found.filter(({ alive }) => alive).map(({ record }) => record.mountpoint))
  for (const { record, alive } of found) {
    if (alive || (!served.has(record.mountpoint) && isMounted(Buffer.from(record.mountpoint, 'hex')))) continue
    removeRecord(folder, record.pid)
    removed.push(record)
  }
  const names = new Set(readFolder(folder))
  const logs: { readonly path: string; readonly mtimeMs: number }[] = []
  for (const name of names) {
    const pid = /^(?:mount|start)-(\d{1,10})\.(?:sock|log|json\.tmp)$/.exec(name)?.[1]
    if (pid === undefined || names.has(`mount-${pid}.json`) || readProcessId(Number(pid)) !== undefined) continue
    const path = join(folder, name)
    if (name.endsWith('.log')) logs.push({ path, mtimeMs: lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 })
    else removeFile(path)
  }
  logs.sort((a, b) => b.mtimeMs - a.mtimeMs)
  for (const [i, { path, mtimeMs }] of logs.entries()) if (i >= MAX_ENDED_LOGS || Date.now() - mtimeMs > MAX_LOG_AGE_MS) removeFile(path)
  return removed
}

function readFolder(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function readRecord(path: string): MountRecord | undefined {
  try {
    const text = readFileSync(path, 'utf8')
    const value: unknown = text.length > MAX_RECORD_BYTES ? undefined : JSON.parse(text)
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is MountRecord {
  if (typeof value !== 'object' || value === null) return false
  const record = value as Partial<Record<keyof MountRecord, unknown>>
  const texts = [record.startTime, record.version, record.source, record.driver, record.log, record.started]
  return (
    texts.every((text) => typeof text === 'string') &&
    Number.isSafeInteger(record.pid) &&
    (record.pid as number) > 0 &&
    typeof record.createdMountpoint === 'boolean' &&
    typeof record.mountpoint === 'string' &&
    /^(?:[0-9a-f]{2})+$/.test(record.mountpoint)
  )
}

function removeFile(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // Gone already.
  }
}

import { rmdirSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { PBSFS_TYPE } from '../fuse/mountinfo.js'
import { requestStatus } from './control-socket.js'
import { findMount, type MountedPlace, type MountTable } from './mount-table.js'
import { findRuntimeFolder } from './runtime-folder.js'
import { cleanRecords, listRecords, socketPath, type FoundRecord, type MountRecord } from './runtime-record.js'
import type { MountState, MountStatus } from './status.js'

/** A daemon that does not answer by then is called silent. */
const ANSWER_TIMEOUT_MS = 2_000

/**
 * All mounts of pbsfs: those this user's daemons serve, and those the kernel lists. Asks daemons
 * over their sockets and never touches a mount. What dead daemons left behind is removed, except
 * their mounts, which are reported as dead.
 */
export async function findMounts(table: MountTable, folder = findRuntimeFolder()): Promise<MountStatus[]> {
  const places = table.list()
  const records = folder === undefined ? [] : listCleaned(folder, places)
  const known = await Promise.all(records.map((found) => askDaemon(found, folder ?? '', places)))
  const others = places.filter((place) => place.type === PBSFS_TYPE && !records.some(({ record }) => isAt(record, place)))
  return [...known, ...(await Promise.all(others.map((place) => describeUnknown(place, table))))]
}

/** The record of the daemon that serves, or served, this place. */
export function findRecord(mountpoint: Buffer, folder = findRuntimeFolder()): FoundRecord | undefined {
  if (folder === undefined) return undefined
  const records = listRecords(folder).filter(({ record }) => record.mountpoint === mountpoint.toString('hex'))
  // A daemon that is leaving and its successor may share the place: the later one has it.
  return records.findLast(({ alive }) => alive) ?? records.at(-1)
}

/** Removes what dead daemons left behind: records, and mountpoints they had made. */
export function removeLeftovers(folder: string, places: readonly MountedPlace[]): void {
  for (const record of cleanRecords(folder, (mountpoint) => findMount(places, mountpoint) !== undefined)) {
    const mountpoint = Buffer.from(record.mountpoint, 'hex')
    if (!record.createdMountpoint || findMount(places, mountpoint) !== undefined) continue
    try {
      rmdirSync(mountpoint)
    } catch {
      // In use by somebody, or gone.
    }
  }
}

function listCleaned(folder: string, places: readonly MountedPlace[]): FoundRecord[] {
  removeLeftovers(folder, places)
  return listRecords(folder)
}

async function askDaemon({ record, alive }: FoundRecord, folder: string, places: readonly MountedPlace[]): Promise<MountStatus> {
  if (!alive) return fromRecord(record, 'dead')
  const answer = await requestStatus(socketPath(folder, record.pid), ANSWER_TIMEOUT_MS)
  const status = answer ?? fromRecord(record, 'silent')
  return places.some((place) => isAt(record, place)) ? status : { ...status, state: 'leaving' }
}

function fromRecord(record: MountRecord, state: MountState): MountStatus {
  const uptime = Math.floor((Date.now() - Date.parse(record.started)) / 1000)
  return {
    mountpoint: escapeName(Buffer.from(record.mountpoint, 'hex')),
    source: record.source,
    state,
    pid: record.pid,
    uptimeSeconds: state === 'dead' || !Number.isFinite(uptime) ? null : uptime,
    started: record.started,
    pbsfs: record.version,
    driver: record.driver,
    log: record.log,
    session: null,
    recent: [],
  }
}

async function describeUnknown(place: MountedPlace, table: MountTable): Promise<MountStatus> {
  return {
    mountpoint: escapeName(place.mountpoint),
    source: escapeName(place.source),
    state: (await table.isDead(place)) ? 'dead' : 'unknown',
    pid: null,
    uptimeSeconds: null,
    started: null,
    pbsfs: null,
    driver: null,
    log: null,
    session: null,
    recent: [],
  }
}

function isAt(record: MountRecord, place: MountedPlace): boolean {
  return place.mountpoint.toString('hex') === record.mountpoint
}

import { existsSync, lstatSync, readdirSync, readFileSync, renameSync, rmdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { escapeName } from '../bytes/names.js'
import { joinBytes } from '../bytes/paths.js'
import { BusyError, MountError, UsageError } from '../errors/errors.js'
import { findRecord } from './find-mounts.js'
import { leaveMount } from './leave-mount.js'
import { attachLoop, backingFile, detachLoop, devicePath } from './loop-device.js'
import { findMount, type MountTable } from './mount-table.js'
import { isInside } from './mountpoint.js'
import type { MapStatus } from './status.js'

const MAX_RECORD_BYTES = 64 * 1024
const RECORD_NAME = /^map-(\d{1,10})\.json$/

/**
 * What `map` leaves in the runtime folder: `map-ID.json`, beside the folder `map-ID` where the
 * image is mounted for the loop device alone.
 */
export interface MapRecord {
  readonly id: number
  /** Of the loop device. */
  readonly number: number
  /** Bytes as hex. */
  readonly mountpoint: string
  /** Name of the mapped file below it; hex. */
  readonly file: string
  /** SOURCE as a person reads it. */
  readonly source: string
  /** ISO 8601, UTC. */
  readonly started: string
}

export const mapFolder = (runtime: string, id: number) => join(runtime, `map-${id}`)
const recordPath = (runtime: string, id: number) => join(runtime, `map-${id}.json`)

/** An id that no map has: its folder and record are free. */
export function newMapId(runtime: string): number {
  let id = process.pid
  while (existsSync(mapFolder(runtime, id)) || existsSync(recordPath(runtime, id))) id++
  return id
}

/** Makes the loop device of a mounted file, and the record of it. */
export function addMap(runtime: string, map: Omit<MapRecord, 'number' | 'started'>): MapRecord {
  const number = attachLoop(fileOf(map))
  const record = { ...map, number, started: new Date().toISOString() }
  const path = recordPath(runtime, map.id)
  writeFileSync(`${path}.tmp`, JSON.stringify(record) + '\n', { mode: 0o600 })
  renameSync(`${path}.tmp`, path)
  return record
}

/** All maps. What dead daemons left behind is removed as far as nobody uses it any more. */
export async function listMaps(runtime: string | undefined, table: MountTable): Promise<MapStatus[]> {
  const found: MapStatus[] = []
  for (const record of runtime === undefined ? [] : readRecords(runtime)) {
    const dead = !isServed(record, runtime)
    if (dead && (await cleanUp(record, runtime!, table))) continue
    found.push({ ...describeMap(record), state: dead ? 'dead' : 'mapped' })
  }
  return found
}

/** Mountpoints (escaped) behind the devices: those are not shown among the mounts. */
export function mapPlaces(runtime: string | undefined): Set<string> {
  return new Set((runtime === undefined ? [] : readRecords(runtime)).map(({ mountpoint }) => escapeName(Buffer.from(mountpoint, 'hex'))))
}

/**
 * Ends a map: the loop device, then the mount behind it. UsageError: no such map. BusyError: the
 * device is in use, says by what; nothing has changed then.
 */
export async function removeMap(device: string, runtime: string | undefined, table: MountTable): Promise<MapStatus> {
  const number = Number(/^(?:\/dev\/)?loop(\d{1,7})(?:p\d+)?$/.exec(device)?.[1] ?? NaN)
  const record = (runtime === undefined ? [] : readRecords(runtime)).find((known) => known.number === number)
  if (record === undefined) throw new UsageError(`${device} is not a device of pbsfs map`, { remedy: 'pbsfs unmap lists them.' })
  const free = await release(record, table)
  const mountpoint = Buffer.from(record.mountpoint, 'hex')
  if (findMount(table.list(), mountpoint) !== undefined) {
    await leaveMount({ mountpoint, cwd: Buffer.from('/'), lazy: !free }, table, runtime)
  }
  forget(record, runtime!)
  return { ...describeMap(record), state: 'mapped' }
}

function describeMap({ number, file, source, started }: MapRecord): Omit<MapStatus, 'state'> {
  return { device: devicePath(number), file: escapeName(Buffer.from(file, 'hex')), source, started }
}

/** Takes the device away from its file. False: some process still has it open. */
async function release(record: MapRecord, table: MountTable): Promise<boolean> {
  if (!isOurs(record)) return true
  try {
    return await detachLoop(record.number)
  } catch (error) {
    if (!(error instanceof BusyError)) throw error
    const path = devicePath(record.number)
    throw new BusyError(`${path} is in use${describeUse(record.number, table)}`, { path, remedy: 'End that first, then: pbsfs unmap.' }, { cause: error })
  }
}

/** After a crash. False: the device is in use, and all that belongs to it stays. */
async function cleanUp(record: MapRecord, runtime: string, table: MountTable): Promise<boolean> {
  try {
    if (isOurs(record)) await detachLoop(record.number)
    const mountpoint = Buffer.from(record.mountpoint, 'hex')
    if (findMount(table.list(), mountpoint) !== undefined) await table.unmount(mountpoint, true)
  } catch (error) {
    if (error instanceof BusyError || error instanceof MountError) return false
    throw error
  }
  forget(record, runtime)
  return true
}

function forget(record: MapRecord, runtime: string): void {
  unlinkSync(recordPath(runtime, record.id))
  const folder = Buffer.from(record.mountpoint, 'hex')
  try {
    rmdirSync(folder)
  } catch {
    // Its daemon has done so, or somebody still uses it.
  }
}

function isServed(record: MapRecord, runtime: string | undefined): boolean {
  return findRecord(Buffer.from(record.mountpoint, 'hex'), runtime)?.alive === true
}

/** The device may have been cleared by hand and given to somebody else. */
function isOurs(record: MapRecord): boolean {
  const file = backingFile(record.number)
  return file !== undefined && isInside(file, Buffer.from(record.mountpoint, 'hex'))
}

function describeUse(number: number, table: MountTable): string {
  const device = devicePath(number)
  const isPart = (source: string) => source === device || new RegExp(`^${device}p\\d+$`).test(source)
  const mounts = table.list().filter(({ source }) => isPart(Buffer.from(source).toString('latin1')))
  if (mounts.length > 0) return `: mounted at ${mounts.map(({ mountpoint }) => escapeName(mountpoint)).join(', ')}`
  const holders = readNames(`/sys/block/loop${number}/holders`)
  return holders.length === 0 ? '' : `: ${holders.join(', ')} are made of it`
}

function fileOf({ mountpoint, file }: Pick<MapRecord, 'mountpoint' | 'file'>): Buffer {
  return joinBytes(Buffer.from(mountpoint, 'hex'), Buffer.from(file, 'hex'))
}

function readRecords(runtime: string): MapRecord[] {
  return readNames(runtime).flatMap((name) => {
    const id = RECORD_NAME.exec(name)?.[1]
    const record = id === undefined ? undefined : readRecord(join(runtime, name))
    return record !== undefined && record.id === Number(id) ? [record] : []
  })
}

function readRecord(path: string): MapRecord | undefined {
  try {
    if (lstatSync(path).size > MAX_RECORD_BYTES) return undefined
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'))
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is MapRecord {
  if (typeof value !== 'object' || value === null) return false
  const { id, number, mountpoint, file, source, started } = value as Partial<Record<keyof MapRecord, unknown>>
  const isHex = (text: unknown) => typeof text === 'string' && /^(?:[0-9a-f]{2})+$/.test(text)
  return Number.isSafeInteger(id) && Number.isSafeInteger(number) && isHex(mountpoint) && isHex(file) && typeof source === 'string' && typeof started === 'string'
}

function readNames(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

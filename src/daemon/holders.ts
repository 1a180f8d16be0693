import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { isInside } from './mountpoint.js'
import type { MountedPlace } from './mount-table.js'

/** Who keeps a mount busy. */
export interface Holder {
  /** undefined: the kernel itself (a loop device, a mount inside). */
  readonly pid: number | undefined
  readonly name: string
  /** What it uses: `working directory`, `file PATH`, ... Escaped. */
  readonly uses: string
}

/** More are counted, not named. */
const MAX_HOLDERS = 20

/**
 * Who uses the mount, from what /proc says of every process this user may look at (all of them
 * for root). Only links and tables of /proc are read: the mount itself is not touched, so this
 * works when nobody serves it any more.
 */
export function findHolders(place: MountedPlace, places: readonly MountedPlace[] = []): Holder[] {
  const holders: Holder[] = []
  for (const other of places) {
    if (other.mountpoint.equals(place.mountpoint) || !isInside(other.mountpoint, place.mountpoint)) continue
    holders.push({ pid: undefined, name: 'mount', uses: `mounted at ${escapeName(other.mountpoint)}` })
  }
  holders.push(...findLoopDevices(place.mountpoint))
  for (const pid of readNames('/proc')) {
    if (holders.length >= MAX_HOLDERS) break
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue
    const uses = findUse(pid, place)
    if (uses !== undefined) holders.push({ pid: Number(pid), name: readName(pid), uses })
  }
  return holders
}

/** One line for people: `bash (1234, working directory), ...`. */
export function describeHolders(holders: readonly Holder[]): string {
  if (holders.length === 0) return 'a process that this user may not see'
  return holders
    .map(({ pid, name, uses }) => (pid === undefined ? `${name} (${uses})` : `${name} (process ${pid}, ${uses})`))
    .join(', ')
}

function findUse(pid: string, place: MountedPlace): string | undefined {
  if (leadsInto(`/proc/${pid}/cwd`, place) !== undefined) return 'working directory'
  if (leadsInto(`/proc/${pid}/root`, place) !== undefined) return 'root directory'
  for (const fd of readNames(`/proc/${pid}/fd`)) {
    const target = leadsInto(`/proc/${pid}/fd/${fd}`, place)
    if (target !== undefined) return `file ${escapeName(target)}`
  }
  return findMapping(pid, place)
}

function leadsInto(link: string, place: MountedPlace): Buffer | undefined {
  try {
    const target = readlinkSync(link, 'buffer')
    return isInside(target, place.mountpoint) ? target : undefined
  } catch {
    return undefined
  }
}

/** A mapped file keeps the mount busy after its descriptor was closed; maps names the device. */
function findMapping(pid: string, place: MountedPlace): string | undefined {
  const device = ` ${hexByte(place.major)}:${hexByte(place.minor)} `
  let maps: string
  try {
    maps = readFileSync(`/proc/${pid}/maps`, 'latin1')
  } catch {
    return undefined
  }
  return maps.includes(device) ? 'mapped file' : undefined
}

function findLoopDevices(mountpoint: Buffer): Holder[] {
  const found: Holder[] = []
  for (const name of readNames('/sys/block')) {
    if (!name.startsWith('loop')) continue
    try {
      const file = readFileSync(`/sys/block/${name}/loop/backing_file`)
      if (isInside(file.subarray(0, file.length - 1), mountpoint)) {
        found.push({ pid: undefined, name: `/dev/${name}`, uses: 'loop device' })
      }
    } catch {
      // Not in use.
    }
  }
  return found
}

function readName(pid: string): string {
  try {
    const name = readFileSync(`/proc/${pid}/comm`)
    return escapeName(name.subarray(0, name.length - 1))
  } catch {
    return '?'
  }
}

function readNames(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function hexByte(value: number): string {
  return value.toString(16).padStart(2, '0')
}

import { escapeName } from '../bytes/names.js'
import { quoteEscaped } from '../bytes/shell-quote.js'
import { BusyError, MountError, UsageError } from '../errors/errors.js'
import { PBSFS_TYPE } from '../fuse/mountinfo.js'
import { findRecord, removeLeftovers } from './find-mounts.js'
import { describeHolders, findHolders } from './holders.js'
import { findMount, type MountedPlace, type MountTable } from './mount-table.js'
import { resolveMountpoint } from './mountpoint.js'
import { waitForExit, type ProcessId } from './process-id.js'
import { findRuntimeFolder } from './runtime-folder.js'

/** A daemon whose mount is gone has only to close its files. */
const EXIT_TIMEOUT_MS = 10_000
/** After a lazy unmount it stays for whoever still reads. */
const LAZY_EXIT_TIMEOUT_MS = 500
/** File managers look into a mount for a moment: busy is asked again before it is said. */
const BUSY_RETRIES = 3
const BUSY_PAUSE_MS = 100

export interface LeaveRequest {
  /** As given; relative to `cwd`. */
  readonly mountpoint: Uint8Array
  readonly cwd: Uint8Array
  /** Free the path although somebody uses the mount. */
  readonly lazy: boolean
}

export interface LeaveResult {
  /** Escaped. */
  readonly mountpoint: string
  /** Nobody served it any more. */
  readonly wasDead: boolean
  /** Set when the daemon goes on for them: who still reads. */
  readonly stillUsedBy?: string
}

/**
 * Ends a mount and waits until its daemon has gone. The daemon sees the unmount and leaves by
 * itself, so this works the same when it hangs; a mount whose daemon died is just removed.
 * UsageError: no mount of ours there. BusyError: in use, names by whom.
 */
export async function leaveMount(request: LeaveRequest, table: MountTable, folder = findRuntimeFolder()): Promise<LeaveResult> {
  const isMounted = (path: Buffer) => findMount(table.list(), path) !== undefined
  const mountpoint = resolveMountpoint(request.mountpoint, request.cwd, isMounted)
  const name = escapeName(mountpoint)
  const place = findMount(table.list(), mountpoint)
  const found = findRecord(mountpoint, folder)
  const daemon = found?.alive === true ? found.record : undefined
  if (place === undefined) {
    if (daemon === undefined) throw new UsageError(`${name} is not a mount`, { path: name, remedy: 'pbsfs umount lists the mounts.' })
    return endDaemonElsewhere(daemon, mountpoint, table)
  }
  if (place.type !== PBSFS_TYPE) {
    throw new UsageError(`${name} is a mount, but not of pbsfs (${place.type})`, { path: name, remedy: 'Use umount(8).' })
  }
  const wasDead = daemon === undefined && (await table.isDead(place))
  const holders = request.lazy && !wasDead ? findHolders(place, table.list()) : []
  await unmountPatiently(place, request.lazy || wasDead, table)
  const gone = daemon === undefined || (await waitForExit(daemon, holders.length > 0 ? LAZY_EXIT_TIMEOUT_MS : EXIT_TIMEOUT_MS))
  if (folder !== undefined) removeLeftovers(folder, table.list())
  if (!gone && holders.length === 0) {
    throw new MountError(`${name} is unmounted, but process ${daemon.pid} is still there`, { path: name, pid: daemon.pid })
  }
  return { mountpoint: name, wasDead, ...(gone ? {} : { stillUsedBy: describeHolders(holders) }) }
}

async function unmountPatiently(place: MountedPlace, lazy: boolean, table: MountTable): Promise<void> {
  for (let retry = 0; ; retry++) {
    try {
      return await table.unmount(place.mountpoint, lazy)
    } catch (error) {
      if (!(error instanceof BusyError)) throw error
      if (retry === BUSY_RETRIES) throw busyError(place, table)
      await new Promise((resolve) => setTimeout(resolve, BUSY_PAUSE_MS))
    }
  }
}

function busyError(place: MountedPlace, table: MountTable): BusyError {
  const path = escapeName(place.mountpoint)
  return new BusyError(`${path} is in use by ${describeHolders(findHolders(place, table.list()))}`, {
    path,
    remedy: `End that first, or free the path at once with: pbsfs umount --lazy ${quoteEscaped(path)}`,
  })
}

/**
 * A daemon that is not mounted where we look: in another mount namespace only it can end its mount;
 * one that is leaving is left alone.
 */
async function endDaemonElsewhere(daemon: ProcessId, mountpoint: Buffer, table: MountTable): Promise<LeaveResult> {
  const name = escapeName(mountpoint)
  const isElsewhere = findMount(table.list(daemon.pid), mountpoint) !== undefined
  if (isElsewhere) process.kill(daemon.pid, 'SIGTERM')
  if (!(await waitForExit(daemon, isElsewhere ? EXIT_TIMEOUT_MS : LAZY_EXIT_TIMEOUT_MS))) {
    throw new BusyError(`${name} is unmounted, and process ${daemon.pid} still serves files of it that are open`, {
      path: name,
      pid: daemon.pid,
      remedy: `To cut them off: kill ${daemon.pid}`,
    })
  }
  return { mountpoint: name, wasDead: false }
}

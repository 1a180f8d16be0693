import { lstatSync, mkdirSync, opendirSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { quoteBytes } from '../bytes/shell-quote.js'
import { MountError, UsageError } from '../errors/errors.js'
import type { Log } from '../errors/log.js'
import { PBSFS_TYPE } from '../fuse/mountinfo.js'
import { canonicalPath } from '../posix/canonical-path.js'
import { findMount, type MountTable } from './mount-table.js'
import { isInside, resolveMountpoint } from './mountpoint.js'

export interface PreflightRequest {
  /** As given; relative to `cwd`. */
  readonly mountpoint: Uint8Array
  readonly cwd: Uint8Array
  /** Canonical paths of the datastore or archive that will be read. */
  readonly sourcePaths: readonly Uint8Array[]
  /** Folder that takes what is written, from the root on; undefined: nothing is. */
  readonly overlay?: Buffer | undefined
  /** Mount over what lies there. */
  readonly nonempty: boolean
  /** Removes what dead daemons left behind, among it mountpoints they made. */
  removeLeftovers(): void
}

export interface Prepared {
  /** Canonical. From here on nobody looks at it again. */
  readonly mountpoint: Buffer
  /** It was missing and has been made: remove it after the unmount. */
  readonly created: boolean
  /** A channel that the starter mounted (`/dev/fd/N`): it unmounts, too. */
  readonly inherited: boolean
}

/** Where mount.fuse3 leaves the channel when it drops privileges before it starts us. */
const INHERITED = /^\/dev\/fd\/\d+$/

/**
 * Looks at everything that can be wrong with the place before anything is opened, and makes it
 * ready. UsageError: another place must be given. MountError: FUSE cannot be used.
 */
export async function prepareMountpoint(request: PreflightRequest, table: MountTable, log: Log): Promise<Prepared> {
  if (INHERITED.test(Buffer.from(request.mountpoint).toString('latin1'))) {
    return { mountpoint: Buffer.from(request.mountpoint), created: false, inherited: true }
  }
  table.requireFuse()
  const isMounted = (path: Buffer) => findMount(table.list(), path) !== undefined
  const mountpoint = resolveMountpoint(request.mountpoint, request.cwd, isMounted)
  for (const source of request.sourcePaths) refuseOverlap(mountpoint, source)
  if (request.overlay !== undefined) refuseOwnOverlay(mountpoint, canonicalPath(request.overlay))
  await clearStale(mountpoint, table, log)
  request.removeLeftovers()
  if (makeFolder(mountpoint)) return { mountpoint, created: true, inherited: false }
  checkFolder(mountpoint, request.nonempty)
  return { mountpoint, created: false, inherited: false }
}

function refuseOverlap(mountpoint: Buffer, source: Uint8Array): void {
  const inSource = isInside(mountpoint, source)
  if (!inSource && !isInside(source, mountpoint)) return
  const [place, store] = [escapeName(mountpoint), escapeName(source)]
  throw new UsageError(
    inSource ? `the mountpoint ${place} lies in the source ${store}` : `the mountpoint ${place} would hide the source ${store}`,
    { path: place, remedy: 'Choose a mountpoint outside of it.' },
  )
}

/** The mount would write to itself, and wait for itself for ever. */
function refuseOwnOverlay(mountpoint: Buffer, overlay: Buffer): void {
  if (!isInside(overlay, mountpoint)) return
  const path = escapeName(overlay)
  throw new UsageError(`the overlay ${path} lies in the mountpoint ${escapeName(mountpoint)}`, { path, remedy: 'Choose a folder outside of it.' })
}

async function clearStale(mountpoint: Buffer, table: MountTable, log: Log): Promise<void> {
  // Mounts can lie on top of each other: a few rounds, never for ever.
  for (let round = 0; round < 8; round++) {
    const place = findMount(table.list(), mountpoint)
    if (place === undefined) return
    if (!place.type.startsWith('fuse') || !(await table.isDead(place))) {
      const ours = place.type === PBSFS_TYPE
      throw new UsageError(`${escapeName(mountpoint)} is a mount already (${place.type} of ${escapeName(place.source)})`, {
        path: escapeName(mountpoint),
        remedy: ours ? `Leave it with: pbsfs umount ${quoteBytes(mountpoint)}` : 'Choose another mountpoint.',
      })
    }
    log.info('removing a mount whose daemon is gone', { path: escapeName(mountpoint), type: place.type })
    await table.unmount(mountpoint, true)
  }
  throw new MountError(`${escapeName(mountpoint)} is covered by many dead mounts`, {
    path: escapeName(mountpoint),
    remedy: `Remove them with: umount -l ${quoteBytes(mountpoint)}`,
  })
}

/** True when the folder was missing and is there now. */
function makeFolder(mountpoint: Buffer): boolean {
  try {
    mkdirSync(mountpoint)
    return true
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EEXIST' || isFolder(mountpoint)) return false
    const path = escapeName(mountpoint)
    throw new UsageError(`${path} is not there and cannot be made (${code})`, { path, remedy: 'Choose another mountpoint.' }, { cause: error })
  }
}

function isFolder(path: Buffer): boolean {
  try {
    return lstatSync(path).isDirectory()
  } catch {
    // Not there, or below a file.
    return false
  }
}

function checkFolder(mountpoint: Buffer, nonempty: boolean): void {
  const path = escapeName(mountpoint)
  if (!isFolder(mountpoint)) {
    throw new UsageError(`${path} is not a folder`, { path, remedy: 'Choose an empty folder, or one that is not there yet.' })
  }
  if (nonempty) return
  if (!isEmpty(mountpoint, path)) {
    throw new UsageError(`${path} is not empty`, {
      path,
      remedy: 'Choose an empty folder, or hide what is in it with: -o nonempty',
    })
  }
}

function isEmpty(mountpoint: Buffer, path: string): boolean {
  let folder
  try {
    folder = opendirSync(mountpoint)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new UsageError(`${path} cannot be listed (${code})`, { path, remedy: 'Choose a folder of your own.' }, { cause: error })
  }
  try {
    return folder.readSync() === null
  } finally {
    folder.closeSync()
  }
}

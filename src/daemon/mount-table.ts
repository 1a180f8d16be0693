import type { MountOptions } from '../fuse/mount-options.js'
import type { MountEntry } from '../fuse/mountinfo.js'

/** One mount as the kernel lists it. */
export type MountedPlace = Pick<MountEntry, 'mountpoint' | 'type' | 'source' | 'major' | 'minor'>

export interface MountRequest {
  /** Canonical. */
  readonly mountpoint: Buffer
  /** Shown as the source of the mount. */
  readonly source: string
  readonly options: MountOptions
}

export interface MountedChannel {
  /** Open /dev/fuse descriptor of the mount, owned by the caller from here. */
  readonly fd: number
}

/**
 * Everything the daemon and the commands do to mounts. No function touches the file system that
 * is mounted, except `isDead`, which asks from another process with a time limit.
 */
export interface MountTable {
  /** All mounts of this mount namespace, or of that of a process, in the order they were made. */
  list(pid?: number): MountedPlace[]
  /** MountError with a remedy when it cannot be done. */
  mount(request: MountRequest): Promise<MountedChannel>
  /** BusyError when somebody uses it and `lazy` is not set; MountError for any other failure. */
  unmount(mountpoint: Buffer, lazy: boolean): Promise<void>
  /** Whether a FUSE mount has lost its daemon (ENOTCONN). */
  isDead(place: MountedPlace): Promise<boolean>
  /** Cuts the connection of a FUSE mount: every waiting caller gets an error. False: not possible. */
  abort(minor: number): boolean
  /** MountError unless FUSE can be used here (device, helper program). */
  requireFuse(): void
}

/** The topmost mount at exactly this path. */
export function findMount(places: readonly MountedPlace[], mountpoint: Uint8Array): MountedPlace | undefined {
  return places.findLast((place) => place.mountpoint.equals(mountpoint))
}

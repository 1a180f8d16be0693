import { readdirSync, readlinkSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { MountError } from '../errors/errors.js'
import { ERRNO } from '../errors/errno.js'
import type { Log } from '../errors/log.js'
import type { Tree } from '../tree/tree.js'
import { loadLibrary, type NativeFuse, type NativeLibrary, type Signal } from './library.js'
import { mountArgument, mountpointText, type NativeMountOptions } from './mount-argument.js'
import { NativeOperations, type OperationCounts } from './operations.js'
import type { AttrOverride } from './records.js'

/** The library does not say when a mount has ended; it is looked at this often. */
const WATCH_MS = 100

const DESCRIPTORS = '/proc/self/fd'
const FUSE_DEVICE = '/dev/fuse'

const CHANGES = [
  'truncate', 'ftruncate', 'create', 'mknod', 'mkdir', 'unlink', 'rmdir', 'rename', 'link', 'symlink',
  'chmod', 'chown', 'utimens', 'removexattr',
] as const // prettier-ignore
const QUESTIONS = ['getattr', 'fgetattr', 'readdir', 'readlink', 'open', 'release', 'read', 'getxattr', 'listxattr', 'statfs'] as const

export type NativeSessionEnd =
  /** The file system is no longer mounted. */
  | 'unmounted'
  /** Someone cut the connection: the mount is still there, and dead. */
  | 'aborted'
  /** `stop` was called. */
  | 'stopped'

export interface NativeSessionParts {
  readonly tree: Tree
  readonly log: Log
  /** Canonical. */
  readonly mountpoint: Uint8Array
  readonly options: NativeMountOptions & { readonly override: AttrOverride }
  /** Whether the mount is still in the mount table. */
  readonly isMounted: () => boolean
  /** Called once, when the mount answers. */
  readonly onReady: () => void
  readonly load?: () => Promise<NativeLibrary>
}

/**
 * Mounts and serves a tree through fuse-native. Only for the main thread of a process: the library
 * calls back into that and no other. What `stop` leaves behind ends with the process.
 */
export class NativeSession {
  readonly #parts: NativeSessionParts
  readonly #operations: NativeOperations
  #fuse: NativeFuse | undefined
  #stop: (() => void) | undefined
  #stopped = false

  constructor(parts: NativeSessionParts) {
    this.#parts = parts
    const { override, checkPermissions } = parts.options
    this.#operations = new NativeOperations(parts.tree, parts.log, { override, checkPermissions })
  }

  counts(): OperationCounts {
    return this.#operations.counts
  }

  /** Mounts, and serves until the mount ends or `stop` is called. MountError when it cannot be mounted. */
  async run(): Promise<NativeSessionEnd> {
    const mountpoint = mountpointText(this.#parts.mountpoint)
    const argument = mountArgument(this.#parts.options)
    const library = await (this.#parts.load ?? loadLibrary)()
    const fuse = makeFuse(library, mountpoint, argument, this.#operations)
    // The library keeps pointers into it.
    this.#fuse = fuse
    const before = fuseDescriptors()
    await new Promise<void>((resolve, reject) => {
      fuse.mount((error) => (error ? reject(cannotMount(mountpoint, error)) : resolve()))
    })
    const device = fuseDescriptors().find((name) => !before.includes(name))
    this.#parts.onReady()
    if (!this.#stopped) await this.#waitForEnd(device)
    this.#fuse = undefined
    if (this.#stopped) return 'stopped'
    return this.#parts.isMounted() ? 'aborted' : 'unmounted'
  }

  /** Ends `run` at once. Who still waits for an answer gets an error when the process ends. */
  stop(): void {
    this.#stopped = true
    this.#stop?.()
  }

  /** libfuse closes the device when the kernel has ended the connection and every call is answered. */
  async #waitForEnd(device: string | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      const watch = setInterval(() => isFuseDevice(device) || finish(), WATCH_MS)
      const finish = () => {
        clearInterval(watch)
        resolve()
      }
      this.#stop = finish
    })
  }
}

function makeFuse(library: NativeLibrary, mountpoint: string, argument: string, operations: NativeOperations): NativeFuse {
  const isAsked = Object.fromEntries([...QUESTIONS, ...CHANGES, 'write', 'setxattr'].map((name) => [name, true]))
  // A call the library gave up would be answered in memory that is somebody else's by then.
  const fuse = new library(mountpoint, isAsked, { timeout: false })
  const refuse = Object.fromEntries(CHANGES.map((name) => [`_op_${name}`, refuseChange]))
  return Object.assign(fuse, operations.handlers, refuse, {
    _op_write: refuseWrite,
    _op_setxattr: refuseSetxattr,
    _fuseOptions: () => argument,
  })
}

/** Only a mount made writable by force asks. */
function refuseChange(signal: Signal): void {
  signal(-ERRNO.EROFS)
}

function refuseWrite(signal: Signal, _path: string, _handle: number, lent: Buffer): void {
  signal(-ERRNO.EROFS, 0, lent.buffer)
}

function refuseSetxattr(signal: Signal, _path: string, _name: string, lent: Buffer): void {
  signal(-ERRNO.EROFS, lent.buffer)
}

/** The library's words for what went wrong, and ours. libfuse says more on stderr. */
const REASONS = new Map([
  ['fuse failed', 'libfuse refused'],
  ['Mountpoint in use', 'it lies on another file system than the folder above it'],
])

function cannotMount(mountpoint: string, error: Error): MountError {
  const path = escapeName(mountpoint)
  const why = REASONS.get(error.message) ?? error.message
  return new MountError(`cannot mount on ${path}: ${why}`, { path, remedy: 'Leave out --driver.' })
}

function fuseDescriptors(): string[] {
  return readdirSync(DESCRIPTORS).filter(isFuseDevice)
}

function isFuseDevice(descriptor: string | undefined): boolean {
  if (descriptor === undefined) return false
  try {
    return readlinkSync(`${DESCRIPTORS}/${descriptor}`) === FUSE_DEVICE
  } catch {
    return false
  }
}

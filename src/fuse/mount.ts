import { accessSync, closeSync, constants, fstatSync, openSync, readlinkSync, statSync, type Stats } from 'node:fs'
import { asBuffer, escapeName } from '../bytes/names.js'
import { BusyError, MountError, SourceError } from '../errors/errors.js'
import { mountByHelper, unmountByHelper } from './fusermount.js'
import { cString, errnoName, libc } from './libc.js'
import {
  checksPermissions, MS_DIRSYNC, MS_NOATIME, MS_NOEXEC, MS_RDONLY, MS_SYNCHRONOUS, NO_MOUNT_OPTIONS, type MountOptions,
} from './mount-options.js' // prettier-ignore
import { PBSFS_TYPE } from './mountinfo.js'

export interface MountRequest {
  /** Absolute path as bytes, canonical but for nothing; or `/dev/fd/N`, a channel mounted already. */
  readonly mountpoint: Uint8Array
  /** What stands in the first column of the mount table. */
  readonly source: string
  readonly options?: MountOptions | undefined
}

export interface Mounted {
  /** /dev/fuse, connected; the caller closes it. */
  readonly fd: number
  readonly mountpoint: Buffer
  /** `inherited`: whoever started this program mounted, and unmounts. */
  readonly method: 'mount' | 'fusermount3' | 'inherited'
}

const SUBTYPE = 'pbsfs'
const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8
/** The kernel cuts a longer data string without a word. */
const MAX_DATA = 4095

/**
 * Mounts: with mount(2) as root, through fusermount3 as an ordinary user. The file system answers
 * once a session runs on `fd`; until then nothing may touch the mountpoint. Looks at the
 * mountpoint before (its type must be known). MountError says what is missing and how to get it.
 */
export async function mountFuse(request: MountRequest): Promise<Mounted> {
  const mountpoint = asBuffer(request.mountpoint)
  const inherited = /^\/dev\/fd\/(\d+)$/.exec(mountpoint.toString('latin1'))
  if (inherited !== null) return { fd: adoptDescriptor(Number(inherited[1])), mountpoint, method: 'inherited' }
  const options = request.options ?? NO_MOUNT_OPTIONS
  const source = options.fsname ?? request.source
  if (process.geteuid?.() !== 0) {
    // fusermount3 opens it with the rights of its caller; what it says is less clear.
    withDevice(() => accessSync('/dev/fuse', constants.R_OK | constants.W_OK))
    const fd = await mountByHelper(mountpoint, helperOptions(source, options))
    return { fd, mountpoint, method: 'fusermount3' }
  }
  return { fd: mountAsRoot(mountpoint, source, options), mountpoint, method: 'mount' }
}

/**
 * Unmounts. BusyError when someone is inside and `lazy` is not set; MountError when nothing is
 * there, SourceError when it is another user's. With `lazy` the path is free at once and the mount ends with its last user.
 */
export async function unmount(mountpoint: Uint8Array, how: { readonly lazy?: boolean } = {}): Promise<void> {
  const path = escapeName(mountpoint)
  const lazy = how.lazy === true
  if (process.geteuid?.() === 0) {
    const result = libc().umount2(cString(mountpoint), UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0))
    if (result >= 0) return
    const code = errnoName(result)
    if (code === 'EBUSY') throw new BusyError(`${path} is in use.`, { path })
    if (code === 'EINVAL' || code === 'ENOENT') throw new MountError(`Nothing is mounted on ${path}.`, { path, code })
    if (code === 'EPERM') throw new MountError(`Not allowed to unmount ${path}.`, { path, code, remedy: containerRemedy })
    throw new MountError(`Cannot unmount ${path}: ${code}.`, { path, code })
  }
  const { code, stderr } = await unmountByHelper(mountpoint, lazy)
  if (code === 0) return
  if (/busy/i.test(stderr)) throw new BusyError(`${path} is in use.`, { path })
  if (/not found|not mounted/i.test(stderr)) {
    throw new SourceError(`No mount of this user on ${path}.`, { path, operation: 'unmount', remedy: 'Whoever mounted it, or root, can end it.' })
  }
  throw new MountError(`Cannot unmount ${path}: ${stderr === '' ? `fusermount3 ended with ${code}` : stderr}.`, { path })
}

const containerRemedy = 'in a container, give it CAP_SYS_ADMIN, --device /dev/fuse and a profile that permits mount'

function mountAsRoot(mountpoint: Buffer, source: string, options: MountOptions): number {
  const path = escapeName(mountpoint)
  let stats: Stats
  try {
    stats = statSync(mountpoint)
  } catch (error) {
    throw new MountError(`Cannot mount on ${path}: ${errorCode(error)}.`, { path, code: errorCode(error) }, { cause: error })
  }
  const fd = withDevice(() => openSync('/dev/fuse', 'r+'))
  const data = kernelData(fd, stats.mode, options)
  const result = libc().mount(cString(source), cString(mountpoint), cString(PBSFS_TYPE), options.flags, cString(data))
  if (result >= 0) return fd
  closeSync(fd)
  const code = errnoName(result)
  const remedy =
    code === 'EPERM' || code === 'EACCES'
      ? containerRemedy
      : code === 'ENODEV'
        ? 'load the module with "modprobe fuse"'
        : code === 'EINVAL'
          ? 'leave out mount options this kernel does not know'
          : undefined
  throw new MountError(`Cannot mount on ${path}: ${code}.${remedy === undefined ? '' : ` Please ${remedy}.`}`, { path, code, remedy })
}

/** Runs `use`, which needs /dev/fuse; its failure in words. */
function withDevice<T>(use: () => T): T {
  try {
    return use()
  } catch (error) {
    const code = errorCode(error)
    const remedy =
      code === 'EACCES' || code === 'EPERM'
        ? 'allow it: "chmod 666 /dev/fuse" as root, or --device /dev/fuse for a container'
        : 'load the module with "modprobe fuse", or give the container --device /dev/fuse'
    throw new MountError(`/dev/fuse cannot be opened (${code}). Please ${remedy}.`, { code, remedy }, { cause: error })
  }
}

function kernelData(fd: number, mode: number, options: MountOptions): string {
  const words = [
    `fd=${fd}`,
    `rootmode=${(mode & 0o170000).toString(8)}`,
    `user_id=${process.geteuid?.() ?? 0}`,
    `group_id=${process.getegid?.() ?? 0}`,
  ]
  if (checksPermissions(options)) words.push('default_permissions')
  if (options.allowOther) words.push('allow_other')
  if (options.maxRead !== undefined) words.push(`max_read=${options.maxRead}`)
  for (const context of options.contexts) {
    const equals = context.indexOf('=')
    words.push(`${context.slice(0, equals)}="${context.slice(equals + 1)}"`)
  }
  const data = words.join(',')
  if (Buffer.byteLength(data) > MAX_DATA) throw new MountError('The mount options are too long for the kernel.')
  return data
}

/** The `-o` string for fusermount3, which adds nosuid and nodev by itself. */
function helperOptions(source: string, options: MountOptions): string {
  const words = [(options.flags & MS_RDONLY) === 0 ? 'rw' : 'ro', 'nosuid', 'nodev', `fsname=${escapeComma(source)}`, `subtype=${SUBTYPE}`]
  if ((options.flags & MS_NOEXEC) !== 0) words.push('noexec')
  if ((options.flags & MS_NOATIME) !== 0) words.push('noatime')
  if ((options.flags & MS_SYNCHRONOUS) !== 0) words.push('sync')
  if ((options.flags & MS_DIRSYNC) !== 0) words.push('dirsync')
  if (checksPermissions(options)) words.push('default_permissions')
  if (options.allowOther) words.push('allow_other')
  if (options.maxRead !== undefined) words.push(`max_read=${options.maxRead}`)
  return words.join(',')
}

function escapeComma(text: string): string {
  return text.replace(/[\\,]/g, '\\$&')
}

function adoptDescriptor(fd: number): number {
  let target = ''
  try {
    fstatSync(fd)
    target = readlinkSync(`/proc/self/fd/${fd}`)
  } catch (error) {
    throw new MountError(`Descriptor ${fd} was named as the mount, but is not open.`, { fd }, { cause: error })
  }
  if (!target.endsWith('/fuse')) throw new MountError(`Descriptor ${fd} was named as the mount, but is ${target}.`, { fd })
  return fd
}

function errorCode(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : 'unknown error'
}

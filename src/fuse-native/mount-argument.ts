import { isUtf8 } from 'node:buffer'
import { asBuffer, escapeName } from '../bytes/names.js'
import { MountError } from '../errors/errors.js'
import { LIVE_TTL } from '../tree/virtual-node.js'

/** What is passed on to libfuse. */
export interface NativeMountOptions {
  /** Shown as the source of the mount. */
  readonly source: string
  readonly allowOther: boolean
  /** The kernel checks permission bits. */
  readonly checkPermissions: boolean
  readonly maxRead?: number | undefined
  /** Further words of mount(8) that libfuse 2 knows: noexec, noatime, sync, dirsync. */
  readonly words: readonly string[]
}

/** Room the library has for the argument and for the mountpoint, NUL included; it cuts what is longer. */
const ROOM = 1024

/** Names of backups and their attributes are valid that long; the library has one value for all. */
const VALID_SECONDS = LIVE_TTL

/** The `-o` argument. MountError when it is too long. */
export function mountArgument(options: NativeMountOptions): string {
  const words = [
    'ro', 'nosuid', 'nodev', 'nonempty', 'subtype=pbsfs', `fsname=${escapeWord(options.source)}`,
    // Our inode numbers instead of one per path: hard links share theirs.
    'use_ino',
    `attr_timeout=${VALID_SECONDS}`, `entry_timeout=${VALID_SECONDS}`,
    ...options.words,
  ] // prettier-ignore
  if (options.allowOther) words.push('allow_other')
  if (options.checkPermissions) words.push('default_permissions')
  if (options.maxRead !== undefined) words.push(`max_read=${options.maxRead}`)
  const argument = `-o${words.join(',')}`
  if (Buffer.byteLength(argument) >= ROOM) {
    throw new MountError('the mount options are too long for --driver fuse-native', { remedy: 'Shorten them with -o fsname=NAME.' })
  }
  return argument
}

/** The mountpoint as the library takes it; MountError when it cannot. */
export function mountpointText(mountpoint: Uint8Array): string {
  const path = escapeName(mountpoint)
  const remedy = 'Choose another mountpoint, or leave out --driver.'
  if (/^\/dev\/fd\/\d+$/.test(path)) {
    throw new MountError('--driver fuse-native cannot take over a mount that was made before', { path, remedy: 'Leave out --driver.' })
  }
  if (!isUtf8(mountpoint)) throw new MountError(`${path} is not UTF-8, which --driver fuse-native needs`, { path, remedy })
  if (mountpoint.length >= ROOM) throw new MountError(`the path of the mountpoint is too long for --driver fuse-native`, { path, remedy })
  return asBuffer(mountpoint).toString('utf8')
}

function escapeWord(text: string): string {
  return text.replace(/[\\,]/g, '\\$&')
}

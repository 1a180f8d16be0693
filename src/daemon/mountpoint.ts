import { lstatSync, readlinkSync, realpathSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { joinBytes, lastNameOf, parentOf } from '../bytes/paths.js'
import { UsageError } from '../errors/errors.js'

const SLASH = 0x2f

/** As the kernel: more links than this are a circle. */
const MAX_LINKS = 40

/**
 * The canonical absolute path of a mountpoint without touching what may be mounted there: links in
 * its parents are resolved; its own name is looked at only when `isMounted` says that nothing is
 * mounted there. Relative paths start at `cwd`. UsageError when the parent folder is not there.
 */
export function resolveMountpoint(path: Uint8Array, cwd: Uint8Array, isMounted: (path: Buffer) => boolean): Buffer {
  let given: Buffer = Buffer.from(path)
  let base: Buffer = Buffer.from(cwd)
  for (let links = 0; links < MAX_LINKS; links++) {
    const full = stripTail(fromRoot(given, base))
    if (full.length === 1) return full
    const parent = resolveParent(parentOf(full), path)
    const canonical = joinBytes(parent, lastNameOf(full))
    if (isMounted(canonical) || !isSymlink(canonical)) return canonical
    given = readlinkSync(canonical, 'buffer')
    base = parent
  }
  throw new UsageError(`${escapeName(path)}: too many symbolic links`, { path: escapeName(path) })
}

/** The working directory, byte for byte; does not touch it. */
export function currentFolder(): Buffer {
  return readlinkSync('/proc/self/cwd', 'buffer')
}

/** A path as it stands, from the root on; a relative one starts at `cwd`. */
export function fromRoot(path: Buffer, cwd: Uint8Array = currentFolder()): Buffer {
  return path[0] === SLASH ? path : joinBytes(cwd, path)
}

/** `inner` is `outer` or lies in it. Both canonical. */
export function isInside(inner: Uint8Array, outer: Uint8Array): boolean {
  const [a, b] = [Buffer.from(inner), Buffer.from(outer)]
  if (b.length === 1 && b[0] === SLASH) return true
  return a.length >= b.length && a.subarray(0, b.length).equals(b) && (a.length === b.length || a[b.length] === SLASH)
}

/** Without trailing slashes, `.` components and `..` at the end (which name the folder above). */
function stripTail(path: Buffer): Buffer {
  const parts = path.toString('latin1').split('/').filter((part) => part !== '' && part !== '.') // prettier-ignore
  while (parts.at(-1) === '..') {
    let up = 0
    while (parts.at(-1) === '..') {
      parts.pop()
      up++
    }
    parts.splice(Math.max(parts.length - up, 0))
  }
  return Buffer.from('/' + parts.join('/'), 'latin1')
}

function resolveParent(parent: Buffer, given: Uint8Array): Buffer {
  try {
    return realpathSync.native(parent, { encoding: 'buffer' })
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    const why = code === 'ENOENT' ? 'does not exist' : code === 'ENOTDIR' ? 'is not a folder' : `cannot be entered (${code})`
    throw new UsageError(
      `${escapeName(given)}: the folder ${escapeName(parent)} ${why}`,
      { path: escapeName(given), remedy: 'Make it first, or choose another mountpoint.' },
      { cause: error },
    )
  }
}

function isSymlink(path: Buffer): boolean {
  try {
    return lstatSync(path).isSymbolicLink()
  } catch {
    return false
  }
}

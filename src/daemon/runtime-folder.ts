import { chmodSync, lstatSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { escapeName } from '../bytes/names.js'
import { SourceError } from '../errors/errors.js'

/** What decides where the folder is; taken as a parameter so that tests need no other user. */
export interface RuntimeEnvironment {
  readonly uid: number
  readonly xdgRuntimeDir: string | undefined
}

export function currentEnvironment(): RuntimeEnvironment {
  return { uid: process.geteuid?.() ?? 0, xdgRuntimeDir: process.env['XDG_RUNTIME_DIR'] }
}

/**
 * Where records, sockets and logs of running mounts are. An XDG_RUNTIME_DIR that is missing or
 * another user's (su leaves it behind) does not count.
 */
export function runtimeFolderPath({ uid, xdgRuntimeDir }: RuntimeEnvironment = currentEnvironment()): string {
  if (uid === 0) return '/run/pbsfs'
  if (xdgRuntimeDir !== undefined && isOwnFolder(xdgRuntimeDir, uid)) return join(xdgRuntimeDir, 'pbsfs')
  return `/tmp/pbsfs-${uid}`
}

function isOwnFolder(path: string, uid: number): boolean {
  if (!path.startsWith('/')) return false
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat !== undefined && stat.isDirectory() && stat.uid === uid
}

/**
 * The runtime folder, made when it is missing: mode 0700, a real directory, owned by this user.
 * One that another user prepared (anybody may write /tmp) is refused with a SourceError.
 */
export function openRuntimeFolder(environment: RuntimeEnvironment = currentEnvironment()): string {
  const path = runtimeFolderPath(environment)
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw folderError(path, 'cannot be made', error)
  }
  checkOwned(path, environment.uid)
  return path
}

/** The runtime folder if it is there and ours, else undefined: for commands that only look. */
export function findRuntimeFolder(environment: RuntimeEnvironment = currentEnvironment()): string | undefined {
  const path = runtimeFolderPath(environment)
  try {
    checkOwned(path, environment.uid)
    return path
  } catch (error) {
    if (error instanceof SourceError && error.fields['code'] === 'ENOENT') return undefined
    throw error
  }
}

function checkOwned(path: string, uid: number): void {
  let stat
  try {
    stat = lstatSync(path)
  } catch (error) {
    throw folderError(path, 'cannot be looked at', error)
  }
  if (!stat.isDirectory()) throw folderError(path, 'is not a directory')
  if (stat.uid !== uid) throw folderError(path, `belongs to user ${stat.uid}`)
  if ((stat.mode & 0o077) === 0) return
  try {
    chmodSync(path, 0o700)
  } catch (error) {
    throw folderError(path, 'is open to other users', error)
  }
}

function folderError(path: string, what: string, cause?: unknown): SourceError {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code
  return new SourceError(
    `the runtime folder ${escapeName(path)} ${what}${code === undefined ? '' : ` (${code})`}`,
    { path, operation: 'runtime-folder', code, remedy: 'Set XDG_RUNTIME_DIR to a folder of your own.' },
    cause === undefined ? undefined : { cause },
  )
}

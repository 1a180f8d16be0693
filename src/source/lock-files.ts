import {
  chmodSync, chownSync, closeSync, constants, fchmodSync, fchownSync, fstatSync, linkSync, mkdirSync, openSync, renameSync,
  rmdirSync, unlinkSync, type Stats,
} from 'node:fs' // prettier-ignore
import { randomBytes } from 'node:crypto'
import { tryLock } from '../posix/flock.js'
import { errorCode, fsError, sourceError, statEntry, type FsPath } from './fs-paths.js'

/** Where the server of a host keeps what lives as long as the host is up. */
export const SERVER_RUNTIME_DIR = '/run/proxmox-backup'
const LOCKS = 'locks'

const FILE_MODE = 0o660
const FOLDER_MODE = 0o755
/** As the server opens them; a fifo in the place of a lock file must not hold us up. */
const FLAGS = constants.O_RDWR | constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK
/** Enough to lock. */
const FLAGS_READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
const FLAGS_NEW = FLAGS | constants.O_CREAT | constants.O_EXCL
const FLAGS_FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

/** Whoever destroys a snapshot removes its lock file as well: then it is looked at again, this often. */
const ATTEMPTS = 4

/** What came of asking for a lock; `busy`: somebody has it in a way that excludes us. */
export type Attempt = { readonly fd: number } | 'busy'

/**
 * Locks the server's lock file of that name, made when it is not there: complete from its first
 * moment and owned as the server's runtime folder is, so that the server can always use it.
 * Throws SourceError when that cannot be done.
 */
export function lockFile(runtimeDir: string, store: string, parts: readonly string[], kind: 'shared' | 'exclusive'): Attempt {
  const owner = statFolder(runtimeDir)
  let folder = runtimeDir
  for (const name of [LOCKS, store, ...parts.slice(0, -1)]) {
    folder = `${folder}/${name}`
    makeFolder(folder, owner)
  }
  const path = `${folder}/${parts.at(-1)!}`
  return lockAt(path, kind, () => openFile(path, folder, owner))
}

/** Locks a folder itself, as servers before 3.3.5 do. Throws SourceError. */
export function lockFolder(path: FsPath, kind: 'shared' | 'exclusive'): Attempt {
  return lockAt(path, kind, () => {
    try {
      return openSync(path, FLAGS_FOLDER)
    } catch (error) {
      throw fsError(error, 'lock', path)
    }
  })
}

/** The lock counts only if what was locked still has its name: else somebody removed it meanwhile. */
function lockAt(path: FsPath, kind: 'shared' | 'exclusive', open: () => number | undefined): Attempt {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const fd = open()
    if (fd === undefined) continue
    let keep = false
    try {
      const refused = tryLock(fd, kind)
      if (refused === 'EAGAIN') return 'busy'
      if (refused !== undefined) throw sourceError(`cannot be locked (${refused})`, 'lock', path, refused)
      keep = isAt(fd, path)
      if (keep) return { fd }
    } finally {
      if (!keep) closeSync(fd)
    }
  }
  return 'busy'
}

function isAt(fd: number, path: FsPath): boolean {
  const now = statEntry(path)
  const locked = fstatSync(fd)
  return now !== undefined && now.ino === locked.ino && now.dev === locked.dev
}

function statFolder(path: string): Stats {
  const stats = statEntry(path)
  if (stats === undefined) throw sourceError('no such folder: the server has not run since this host was started', 'lock', path, 'ENOENT')
  if (!stats.isDirectory()) throw sourceError('not a directory', 'lock', path, 'ENOTDIR')
  return stats
}

/** undefined: it was removed again as soon as it was made. */
function openFile(path: string, folder: string, owner: Stats): number | undefined {
  let fd = openExisting(path)
  if (fd === undefined) {
    makeFile(path, folder, owner)
    // By its name, which is then what is shown of the one who has it open.
    fd = openExisting(path)
  }
  if (fd === undefined || fstatSync(fd).isFile()) return fd
  closeSync(fd)
  throw sourceError('not a regular file', 'lock', path, 'ENXIO')
}

function openExisting(path: string): number | undefined {
  for (const flags of [FLAGS, FLAGS_READ]) {
    try {
      return openSync(path, flags)
    } catch (error) {
      const code = errorCode(error)
      if (code === 'ENOENT') return undefined
      if (flags === FLAGS_READ || (code !== 'EACCES' && code !== 'EROFS')) throw fsError(error, 'lock', path)
    }
  }
  return undefined
}

/** Nothing happens when somebody else made it first. */
function makeFile(path: string, folder: string, owner: Stats): void {
  requireMaker(path, owner)
  const temporary = temporaryName(folder)
  let fd: number | undefined
  try {
    fd = openSync(temporary, FLAGS_NEW, FILE_MODE)
    fchownSync(fd, owner.uid, owner.gid)
    // Whatever the umask is.
    fchmodSync(fd, FILE_MODE)
    // Unlike a rename this never takes the place of a file that is there.
    linkSync(temporary, path)
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw fsError(error, 'lock', path)
  } finally {
    if (fd !== undefined) {
      closeSync(fd)
      unlinkSync(temporary)
    }
  }
}

/** The folder appears under its name with its owner. */
function makeFolder(path: string, owner: Stats): void {
  const stats = statEntry(path)
  if (stats !== undefined) {
    if (!stats.isDirectory()) throw sourceError('not a directory', 'lock', path, 'ENOTDIR')
    return
  }
  requireMaker(path, owner)
  const temporary = temporaryName(path.slice(0, path.lastIndexOf('/')))
  try {
    mkdirSync(temporary)
    try {
      chownSync(temporary, owner.uid, owner.gid)
      chmodSync(temporary, FOLDER_MODE)
      renameSync(temporary, path)
    } catch (error) {
      rmdirSync(temporary)
      // Somebody else made it first, and there is something in it.
      if (errorCode(error) !== 'ENOTEMPTY' && errorCode(error) !== 'EEXIST') throw error
    }
  } catch (error) {
    throw fsError(error, 'lock', path)
  }
}

/** What another user makes here, the server could not open. */
function requireMaker(path: string, owner: Stats): void {
  const user = process.geteuid!()
  if (user === 0 || user === owner.uid) return
  const problem = `is not there, and only root and the server's user (uid ${owner.uid}) may make it`
  throw sourceError(problem, 'lock', path, 'EACCES')
}

function temporaryName(folder: string): string {
  return `${folder}/.pbsfs-${process.pid}-${randomBytes(6).toString('hex')}`
}

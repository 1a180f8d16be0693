import { constants, lstatSync, type Stats } from 'node:fs'
import { asBuffer, escapeName } from '../bytes/names.js'
import { nameOfErrno } from '../errors/errno.js'
import { SourceError, type ErrorFields } from '../errors/errors.js'

/** A path for node:fs: text where it is valid UTF-8 (faster), else bytes. */
export type FsPath = string | Buffer

/** Never follows a link in the last component, never blocks on a fifo, never inherits. */
export const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
/** `open` sets close-on-exec by itself. Needs the file's owner or CAP_FOWNER, else EPERM. */
export const OPEN_FLAGS_NOATIME = OPEN_FLAGS | constants.O_NOATIME

export function toFsPath(path: string | Uint8Array): FsPath {
  if (typeof path === 'string') return path
  const bytes = Buffer.from(path)
  const text = bytes.toString('utf8')
  return Buffer.from(text).equals(bytes) ? text : bytes
}

/** Appends a relative path of ASCII names. */
export function joinPath(base: FsPath, relative: string): FsPath {
  if (relative === '') return base
  return typeof base === 'string' ? `${base}/${relative}` : Buffer.concat([base, Buffer.from(`/${relative}`, 'latin1')])
}

/** A path for people and error fields. */
export function showPath(path: FsPath | Uint8Array): string {
  return escapeName(typeof path === 'string' ? path : asBuffer(path))
}

export function errorCode(error: unknown): string {
  const { code, errno } = error instanceof Error ? (error as { readonly code?: unknown; readonly errno?: unknown }) : {}
  if (typeof code !== 'string') return 'EIO'
  return code.startsWith('Unknown') && typeof errno === 'number' && errno < 0 ? nameOfErrno(errno) : code
}

const SENTENCES: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ENOTDIR: 'not a directory',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  ELOOP: 'is a symbolic link, which is not followed inside a datastore',
  EIO: 'input/output error of the storage',
  ESTALE: 'stale file handle (removed or replaced on the file server)',
  EMFILE: 'too many open files',
  ENFILE: 'too many open files in the system',
  ENODEV: 'no such device (unmounted?)',
  ENXIO: 'not a regular file',
  ETIMEDOUT: 'timed out',
  ENAMETOOLONG: 'name too long',
}

/** Whether trying again later can help. */
const RETRYABLE = new Set([
  'EIO', 'ESTALE', 'EMFILE', 'ENFILE', 'ETIMEDOUT', 'EAGAIN', 'EINTR', 'ENODEV', 'EHOSTDOWN', 'ENOTCONN',
]) // prettier-ignore

/** What the file system said, as a SourceError that names path and operation. */
export function fsError(error: unknown, operation: string, path: FsPath, fields: ErrorFields = {}): SourceError {
  const code = errorCode(error)
  const shown = showPath(path)
  return new SourceError(
    `${shown}: ${SENTENCES[code] ?? code}`,
    { path: shown, operation, code, retryable: RETRYABLE.has(code), ...fields },
    { cause: error },
  )
}

export function sourceError(problem: string, operation: string, path: FsPath, code: string): SourceError {
  const shown = showPath(path)
  return new SourceError(`${shown}: ${problem}`, { path: shown, operation, code, retryable: false })
}

/** Something inside a datastore is a link: it is not followed, it could lead anywhere. */
export function linkError(path: FsPath, remedy = ''): SourceError {
  return sourceError(`is a symbolic link, which is not followed inside a datastore${remedy}`, 'open', path, 'ELOOP')
}

/** lstat; undefined when there is nothing (or when a parent is not a directory). */
export function statEntry(path: FsPath): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    throw fsError(error, 'stat', path)
  }
}

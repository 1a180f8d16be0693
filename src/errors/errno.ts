import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { NodeError, PbsfsError } from './errors.js'

/** Errnos as positive numbers; this file is the one place that chooses among them for an error. */
export const ERRNO = {
  ...constants.errno,
  ENOTSUP: constants.errno.EOPNOTSUPP,
} as Readonly<Record<string, number>> & {
  readonly [K in
    | 'EIO' | 'ENOENT' | 'EPERM' | 'ENOSPC' | 'EINVAL' | 'EROFS' | 'ENOSYS' | 'ENOTTY' | 'ENXIO' | 'ENODATA' | 'ERANGE' | 'EACCES' | 'EBUSY'
    | 'EINTR' | 'EPROTO' | 'EOPNOTSUPP' | 'ENODEV' | 'ECONNABORTED' | 'EAGAIN' | 'ENAMETOOLONG' | 'ENOTDIR']: number
} // prettier-ignore

const NAMES = new Map<number, string>(Object.entries(constants.errno).map(([name, errno]) => [errno, name]))

/** 'ESTALE' for 116 or -116, which the runtime itself has no name for; `errno N` for what nobody names. */
export function nameOfErrno(errno: number): string {
  const name = getSystemErrorName(-Math.abs(errno))
  return name.startsWith('Unknown') ? (NAMES.get(Math.abs(errno)) ?? `errno ${Math.abs(errno)}`) : name
}

/**
 * Errnos of the storage that say something to the caller. ENOENT is not among them: a chunk
 * that is gone must not look like a file that was never there.
 */
const TELLING_SOURCE_CODES = new Set(['EACCES', 'EPERM', 'ETIMEDOUT', 'ESTALE', 'ENOMEM', 'EMFILE', 'ENFILE', 'EHOSTDOWN', 'EHOSTUNREACH'])

/** Errnos of the place where changes go. */
const TELLING_TARGET_CODES = new Set(['ENOSPC', 'EDQUOT', 'EACCES', 'EPERM', 'EROFS', 'EFBIG'])

/** The errno a reader sees for an error of the tree; EIO for what is a bug of this program. */
export function errnoOf(error: unknown): number {
  if (!(error instanceof PbsfsError)) return ERRNO.EIO
  switch (error.tag) {
    case 'node':
      return error instanceof NodeError ? (ERRNO[error.errno] ?? ERRNO.EIO) : ERRNO.EIO
    case 'key':
      return ERRNO.EACCES
    case 'unsupported':
      return ERRNO.EOPNOTSUPP
    case 'busy':
      return ERRNO.EBUSY
    case 'aborted':
      return ERRNO.EINTR
    case 'target': {
      const code = error.fields['code']
      return typeof code === 'string' && TELLING_TARGET_CODES.has(code) ? (ERRNO[code] ?? ERRNO.EIO) : ERRNO.EIO
    }
    case 'source': {
      const code = error.fields['code']
      return typeof code === 'string' && TELLING_SOURCE_CODES.has(code) ? (ERRNO[code] ?? ERRNO.EIO) : ERRNO.EIO
    }
    case 'format':
    case 'truncated':
    case 'integrity':
    case 'chunk-unavailable':
    case 'mount':
    case 'usage':
      return ERRNO.EIO
  }
}

/** Everything that is not a named error is a mistake of ours: its stack belongs in the log. */
export function isBug(error: unknown): boolean {
  return !(error instanceof PbsfsError)
}

/** Answers that belong to ordinary life (a missing name, a missing attribute) and are not logged. */
export function isOrdinary(error: unknown): boolean {
  return error instanceof PbsfsError && (error.tag === 'node' || error.tag === 'aborted')
}

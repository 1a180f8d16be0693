import { nameOfErrno } from '../errors/errno.js'
import { TargetError } from '../errors/errors.js'

const CONTINUE = 'Then run the same command again: it goes on where it stopped.'

/** What no later file would survive either, and what helps. */
const HOPELESS: Readonly<Record<string, readonly [why: string, remedy: string]>> = {
  ENOSPC: ['no space is left', `Free space there, or inodes (df -i). ${CONTINUE}`],
  EDQUOT: ['the disk quota is used up', `Free space there, or have the quota raised. ${CONTINUE}`],
  EROFS: ['it is mounted read-only', 'Remount it read-write, or choose another target.'],
  EIO: ['the device failed', 'See the kernel log (dmesg); choose another target if the disk is failing.'],
  ENODEV: ['the device is gone', `Attach it again. ${CONTINUE}`],
  ENOTCONN: ['the file system does not answer', `Mount it again. ${CONTINUE}`],
  ESTALE: ['the file system does not answer', `Mount it again. ${CONTINUE}`],
  EMFILE: ['too many files are open', 'Raise the limit (ulimit -n).'],
}

/** Plain words for errnos that one entry alone runs into. */
const WORDS: Readonly<Record<string, string>> = {
  EPERM: 'this user or this file system does not allow it',
  EACCES: 'this user may not',
  EEXIST: 'something is there already',
  EFBIG: 'the file system cannot hold a file of this size',
  ENAMETOOLONG: 'the name is too long for this file system',
  EINVAL: 'the file system does not take this name or value',
  EILSEQ: 'the file system takes no names of these bytes',
  ENOTSUP: 'the file system has no such thing',
  EOPNOTSUPP: 'the file system has no such thing',
  ELOOP: 'a symbolic link is in the way; links are never followed',
  ENOTDIR: 'what is there is no folder',
  EISDIR: 'a folder is there',
  EMLINK: 'the file has too many links',
}

/** A call on a file of the target that failed: `result` is the negative errno, `path` safe to print. */
export function targetError(operation: string, path: string, result: number): TargetError {
  const code = nameOfErrno(result)
  const hopeless = HOPELESS[code]
  const why = hopeless?.[0] ?? WORDS[code]
  return new TargetError(`${path}: cannot ${operation}: ${why === undefined ? code : `${why} (${code})`}`, {
    operation,
    code,
    path,
    ...(hopeless === undefined ? {} : { remedy: hopeless[1] }),
  })
}

/** What is there stays, and `what` says why. */
export function conflictError(path: string, what: string): TargetError {
  return new TargetError(`${path}: left alone: ${what}`, { path, code: 'EEXIST', conflict: true })
}

export function isConflict(error: unknown): boolean {
  return error instanceof TargetError && error.fields['conflict'] === true
}

/** The next file would fail as well. */
export function isHopeless(error: unknown): boolean {
  const code = error instanceof TargetError ? error.fields['code'] : undefined
  return typeof code === 'string' && HOPELESS[code] !== undefined
}

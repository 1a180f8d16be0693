import { nameOfErrno } from '../errors/errno.js'
import { bindCall, type Raw } from './koffi.js'

const LOCK_SH = 1
const LOCK_EX = 2
const LOCK_NB = 4

let flock: Raw | undefined

/**
 * Asks for a lock of flock(2) on an open file or directory and never waits for one. undefined: it is
 * ours, until every descriptor of this open file is closed (also by the end of the process). Else
 * the name of the errno: `EAGAIN` when somebody else has it. MountError when system calls cannot be made.
 */
export function tryLock(fd: number, kind: 'shared' | 'exclusive'): string | undefined {
  flock ??= bindCall('int flock(int, int)')
  const result = flock(fd, (kind === 'shared' ? LOCK_SH : LOCK_EX) | LOCK_NB)
  return result < 0 ? nameOfErrno(result) : undefined
}

import { closeSync, constants, fstatSync, openSync, type Stats } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { BusyError } from '../errors/errors.js'
import { claimFile, findLoopDevice } from '../posix/file-users.js'

/** BusyError when somebody uses an open file or device, beyond what the kernel refuses to open. It is ours until it is closed. */
export function refuseInUse(fd: number, stat: Stats, shown: string): void {
  const user = claimFile(fd, stat) ?? findLoopDevice(stat)
  if (user === undefined) return
  const { message, remedy } = user
  throw new BusyError(`${shown}: ${message}; nothing was written`, { path: shown, ...(remedy === undefined ? {} : { remedy }) })
}

/** The same for a file that is to be replaced, if there is one. */
export function refuseFileInUse(path: Buffer): void {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch {
    // Not there, or nothing that could be used so: what replaces it says more.
    return
  }
  try {
    const stat = fstatSync(fd)
    if (stat.isFile()) refuseInUse(fd, stat, escapeName(path))
  } finally {
    closeSync(fd)
  }
}

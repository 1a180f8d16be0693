import { closeSync, constants, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { tryLock } from '../posix/flock.js'
import { findRuntimeFolder } from './runtime-folder.js'

/** A start that takes longer holds up no other. */
const PATIENCE_MS = 5000
const RETRY_MS = 10

/**
 * Keeps other mounts of this user from starting until the returned function is called: what one finds and removes of
 * a mount that was killed, another must not be about to use. Waits a while for others, then goes on without.
 */
export async function guardStart(): Promise<() => void> {
  let fd: number
  try {
    const folder = findRuntimeFolder()
    if (folder === undefined) return () => undefined
    fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch {
    return () => undefined
  }
  for (let waited = 0; waited < PATIENCE_MS && tryLock(fd, 'exclusive') === 'EAGAIN'; waited += RETRY_MS) await sleep(RETRY_MS)
  let open = true
  return () => {
    if (open) closeSync(fd)
    open = false
  }
}

import { escapeName } from '../bytes/names.js'
import { MountError } from '../errors/errors.js'
import { runWithPath } from './fusermount.js'
import { unmount } from './mount.js'
import { findMountAt } from './mountinfo.js'

/** How a mount answers: not at all there, normally, dead (its daemon is gone), or not in time. */
export type MountHealth = 'none' | 'alive' | 'dead' | 'hung'

/** Long enough for a daemon that decodes its first directory. */
const PROBE_TIMEOUT_MS = 5000

/**
 * Looks at the mount on `path` (canonical bytes) from a child process: this one must never wait
 * for a file system that may be its own.
 */
export async function probeMount(path: Uint8Array, timeoutMs: number = PROBE_TIMEOUT_MS): Promise<MountHealth> {
  if (findMountAt(path) === undefined) return 'none'
  try {
    const { code, stderr } = await runWithPath('stat', ['--file-system', '--'], path, { timeoutMs })
    if (code === 0) return 'alive'
    return /not connected/.test(stderr) ? 'dead' : 'alive'
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ETIMEDOUT') return 'hung'
    throw new MountError(`Cannot look at the mount on ${escapeName(path)}.`, { path: escapeName(path) }, { cause: error })
  }
}

/**
 * Removes the mount a killed daemon left on `path`. True when there was one; what is alive, or no
 * FUSE mount, is left alone. Several stacked on each other go together.
 */
export async function cleanStaleMount(path: Uint8Array): Promise<boolean> {
  let cleaned = false
  for (;;) {
    const entry = findMountAt(path)
    if (entry === undefined || !/^fuse(\.|$)/.test(entry.type)) return cleaned
    if ((await probeMount(path)) !== 'dead') return cleaned
    await unmount(path, { lazy: true })
    cleaned = true
  }
}

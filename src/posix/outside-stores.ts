import { existsSync, realpathSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { UsageError } from '../errors/errors.js'

/** What makes a folder a datastore. */
const CHUNKS_FOLDER = '/.chunks'

const SLASH = 0x2f

/**
 * Nothing is ever written into a datastore. UsageError when `target`, a path from the root on that may not be there yet,
 * lies in one, whatever links lead there.
 */
export function refuseInsideStore(target: Buffer): void {
  for (let folder = nearestFolder(target); ; folder = parentOf(folder)) {
    if (existsSync(Buffer.concat([folder, Buffer.from(CHUNKS_FOLDER)]))) {
      throw new UsageError(`${escapeName(target)} lies in the datastore ${escapeName(folder)}, which is never written to`, { remedy: 'Choose another target.' })
    }
    if (folder.length <= 1) return
  }
}

/** The folder, as a canonical path, that the target is in or will be made in. */
function nearestFolder(target: Buffer): Buffer {
  for (let at = target; at.length > 1; at = parentOf(at)) {
    try {
      return realpathSync.native(at, { encoding: 'buffer' })
    } catch {
      // Not there: look further up.
    }
  }
  return Buffer.from('/')
}

/** `/` for what is right below it. */
export function parentOf(path: Buffer): Buffer {
  return path.subarray(0, Math.max(1, path.lastIndexOf(SLASH)))
}

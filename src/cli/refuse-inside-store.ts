import { existsSync, realpathSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { dirnameBytes, joinBytes } from '../daemon/mountpoint.js'
import { UsageError } from '../errors/errors.js'
import { CHUNK_FOLDER } from '../source/names.js'

/** UsageError for a place in a datastore: nothing is written there, neither into that of the source nor another one. */
export function refuseInsideStore(target: Buffer): void {
  let folder = nearestFolder(target)
  for (;;) {
    if (existsSync(joinBytes(folder, Buffer.from(CHUNK_FOLDER)))) {
      throw new UsageError(`${escapeName(target)} lies in the datastore ${escapeName(folder)}, which is never written to`, { remedy: 'Choose another target.' })
    }
    if (folder.length <= 1) return
    folder = dirnameBytes(folder)
  }
}

/** The folder, as a canonical path, that the target is in or will be made in. */
function nearestFolder(target: Buffer): Buffer {
  for (let at = target; at.length > 1; at = dirnameBytes(at)) {
    try {
      return realpathSync.native(at, { encoding: 'buffer' })
    } catch {
      // Not there: look further up.
    }
  }
  return Buffer.from('/')
}

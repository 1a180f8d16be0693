import { existsSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { parentOf } from '../bytes/paths.js'
import { UsageError } from '../errors/errors.js'
import { canonicalPath } from './canonical-path.js'

/** What makes a folder a datastore. */
const CHUNKS_FOLDER = '/.chunks'

/**
 * Nothing is ever written into a datastore. UsageError when `target`, a path from the root on that may not be there yet,
 * lies in one, whatever links lead there.
 */
export function refuseInsideStore(target: Buffer): void {
  for (let folder = canonicalPath(target); ; folder = parentOf(folder)) {
    if (existsSync(Buffer.concat([folder, Buffer.from(CHUNKS_FOLDER)]))) {
      throw new UsageError(`${escapeName(target)} lies in the datastore ${escapeName(folder)}, which is never written to`, { remedy: 'Choose another target.' })
    }
    if (folder.length <= 1) return
  }
}

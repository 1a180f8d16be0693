import { closeSync } from 'node:fs'
import { BusyError, isPbsfsError } from '../errors/errors.js'
import type { LockProblem, ServerPlace, SnapshotLock, SnapshotRef } from './datastore.js'
import { showPath, type FsPath } from './fs-paths.js'
import { lockFile, lockFolder, type Attempt } from './lock-files.js'
import { lockFileParts, lockSubject } from './lock-names.js'

/** Locks that are held, by number; each is one or two open files. */
export class SnapshotLocks {
  readonly #held = new Map<number, readonly number[]>()
  #last = 0

  /**
   * Takes the shared locks of a snapshot, of both kinds that servers know, as far as they can be
   * had; what is in the way is in `problems`. `folder` is there. BusyError: somebody writes the
   * snapshot or removes it; then nothing is held.
   */
  take(folder: FsPath, snapshot: SnapshotRef, server: ServerPlace): Pick<SnapshotLock, 'id' | 'problems'> {
    const fds: number[] = []
    const problems: LockProblem[] = []
    const attempt = (kind: LockProblem['kind'], lock: () => Attempt): void => {
      let result: Attempt
      try {
        result = lock()
      } catch (error) {
        if (!isPbsfsError(error)) throw error
        problems.push({ kind, code: String(error.fields['code'] ?? error.tag), message: error.message })
        return
      }
      if (result === 'busy') throw inUse(folder)
      fds.push(result.fd)
    }
    try {
      attempt('folder', () => lockFolder(folder, 'shared'))
      if (server.store === undefined) {
        problems.push({ kind: 'file', code: 'unknown', message: 'it is not known which store of the server this is' })
      } else {
        const { store, runtimeDir } = server
        const parts = lockFileParts(snapshot.group.ns, lockSubject(snapshot))
        attempt('file', () => lockFile(runtimeDir, store, parts, 'shared'))
      }
    } catch (error) {
      for (const fd of fds) closeSync(fd)
      throw error
    }
    this.#held.set(++this.#last, fds)
    return { id: this.#last, problems }
  }

  /** Nothing happens when it is not held. */
  release(id: number): void {
    const fds = this.#held.get(id) ?? []
    this.#held.delete(id)
    for (const fd of fds) closeSync(fd)
  }

  releaseAll(): void {
    for (const id of [...this.#held.keys()]) this.release(id)
  }
}

function inUse(folder: FsPath): BusyError {
  const path = showPath(folder)
  return new BusyError(`${path}: in use by the server, which writes this snapshot or removes it`, {
    path,
    remedy: 'Try again when its task is done, or look at it all the same with --no-lock.',
  })
}

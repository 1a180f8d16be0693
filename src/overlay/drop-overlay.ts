import { closeSync, constants, fsyncSync, openSync, rmSync } from 'node:fs'
import { nameOfErrno } from '../errors/errno.js'
import { escapeName } from '../bytes/names.js'
import { parentOf } from '../bytes/paths.js'
import { TargetError, UsageError } from '../errors/errors.js'
import { mapPathOf, overlayInUse } from './open-overlay.js'
import { checkDataFile, isThere, openMap, readMap, type OpenMap } from './read-overlay.js'

/** What went with an overlay. */
export interface DroppedOverlay {
  readonly path: Buffer
  readonly image: string
  /** Bytes that had been written; undefined: its map was damaged, or a drop before this one was cut off. */
  readonly bytesWritten: number | undefined
}

/**
 * Removes an overlay: its file, and then its map. UsageError when it is none, BusyError when somebody uses it; then
 * nothing is removed. Cut off in between, a map without its file is left, which opens as no disk and is dropped again.
 */
export async function dropOverlay(path: Buffer): Promise<DroppedOverlay> {
  const open = await openMap(path)
  const { file, header } = open
  try {
    if (!file.lock()) throw overlayInUse(path, file.lockHolder())
    if (header.purpose === 'restore') {
      throw new UsageError(`${escapeName(path)} is a restore --live that is not complete, no overlay`, { remedy: 'The same restore goes on with it; to give it up, remove the file and its map.' })
    }
    const isWhole = isThere(path)
    if (isWhole) checkDataFile(path, header)
    const bytesWritten = isWhole ? await bytesOf(path, open) : undefined
    if (isWhole) {
      remove(path)
      // The order holds after a loss of power, too.
      syncFolder(path)
    }
    remove(mapPathOf(path))
    return { path, image: header.image, bytesWritten }
  } finally {
    await file.close()
  }
}

async function bytesOf(path: Buffer, open: OpenMap): Promise<number | undefined> {
  try {
    const { map } = await readMap(path, open)
    return Math.min(open.header.size, map.count * open.header.blockSize)
  } catch {
    // It goes anyway.
    return undefined
  }
}

function remove(path: Buffer): void {
  try {
    rmSync(path)
  } catch (error) {
    throw failure('remove', path, error)
  }
}

function syncFolder(path: Buffer): void {
  const fd = openSync(parentOf(path), constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(fd)
  } catch (error) {
    // Some file systems know no such thing; all of them keep what is asked for in the end.
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw failure('remove', path, error)
  } finally {
    closeSync(fd)
  }
}

function failure(operation: string, path: Buffer, error: unknown): TargetError {
  const { errno, code } = error as NodeJS.ErrnoException
  const name = errno === undefined ? (code ?? 'EIO') : nameOfErrno(errno)
  const shown = escapeName(path)
  return new TargetError(`${shown}: cannot ${operation} it (${name})`, { path: shown, operation, code: name }, { cause: error })
}

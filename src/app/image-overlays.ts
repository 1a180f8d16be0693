import { accessSync, constants, existsSync, mkdirSync, statSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { parentOf } from '../bytes/paths.js'
import type { ReadAt } from '../bytes/read-at.js'
import { BusyError, TargetError } from '../errors/errors.js'
import type { CowDisk } from '../overlay/cow-disk.js'
import { CowStream } from '../overlay/cow-stream.js'
import { mapPathOf, openOverlay } from '../overlay/open-overlay.js'
import { refuseInsideStore } from '../posix/outside-stores.js'
import type { MaybePromise } from '../tree/tree.js'
import type { ImageOverlay, ImageOverlays, WritableDisk } from '../tree/writable-disk.js'

interface OpenDisk {
  readonly disk: CowDisk
  readonly stream: CowStream
}

/**
 * Overlays in a folder, one file for each image that was written to, under the path that the image has in the mount.
 * Nothing is made before something is written. An image that was looked at without an overlay gets none that others have made
 * since: BusyError, for whoever has read from it would mix what it holds with what was written there.
 */
export class FolderOverlays implements ImageOverlays {
  readonly #folder: Buffer
  readonly #disks = new Map<string, Promise<OpenDisk>>()
  readonly #open = new Map<string, OpenDisk>()
  /** Images that had no overlay when they were first looked at. */
  readonly #untouched = new Set<string>()

  /** UsageError for a folder in a datastore; TargetError when nothing can be written to it, or where it would be made. */
  constructor(folder: Buffer) {
    this.#folder = folder
    refuseInsideStore(folder)
    checkWritable(folder)
  }

  over({ path, identity }: { readonly path: string; readonly identity: string }, backup: ReadAt): ImageOverlay {
    const key = `${path}\0${identity}`
    const file = Buffer.concat([this.#folder, Buffer.from(`/${path}`)])
    const open = (): Promise<OpenDisk> => this.#diskOf(key, file, path, identity, backup)
    const disk: WritableDisk = {
      write: async (bytes, offset) => (await open()).disk.write(bytes, offset),
      zero: async (offset, length) => (await open()).disk.zero(offset, length),
      flush: async () => (await this.#disks.get(key))?.disk.flush(),
    }
    return { stream: () => this.#streamOf(key, file, open, backup), disk }
  }

  /** Brings everything to the disk and gives the files back. */
  async close(): Promise<void> {
    const disks = [...this.#disks.values()]
    this.#disks.clear()
    this.#open.clear()
    await Promise.all(disks.map(async (pending) => (await pending.catch(() => undefined))?.disk.close()))
  }

  #streamOf(key: string, file: Buffer, openDisk: () => Promise<OpenDisk>, backup: ReadAt): MaybePromise<ReadAt> {
    const open = this.#open.get(key)
    if (open !== undefined) return open.stream
    if (!this.#disks.has(key)) {
      if (!existsSync(mapPathOf(file))) {
        this.#untouched.add(key)
        return backup
      }
    }
    return openDisk().then(({ stream }) => stream)
  }

  #diskOf(key: string, file: Buffer, path: string, identity: string, backup: ReadAt): Promise<OpenDisk> {
    const known = this.#disks.get(key)
    if (known !== undefined) return known
    const opening = this.#openDisk(key, file, path, identity, backup)
    this.#disks.set(key, opening)
    // Tried again by the next who wants to write.
    opening.catch(() => this.#disks.delete(key))
    return opening
  }

  async #openDisk(key: string, file: Buffer, path: string, identity: string, backup: ReadAt): Promise<OpenDisk> {
    if (this.#untouched.has(key) && existsSync(mapPathOf(file))) throw changedElsewhere(file)
    makeFolder(parentOf(file))
    await backup.prepare?.()
    const disk = await openOverlay(file, { size: backup.size, identity, image: path }, backup)
    const opened: OpenDisk = { disk, stream: new CowStream(backup.name, disk, backup) }
    this.#open.set(key, opened)
    return opened
  }
}

function changedElsewhere(file: Buffer): BusyError {
  const path = escapeName(file)
  const remedy = 'Unmount, and mount again: then the image is seen with what was written to it.'
  return new BusyError(`${path}: somebody else has made this overlay since the image was looked at here without it`, { path, remedy })
}

/** A folder for this user alone, with those above it. TargetError when it cannot be made, UsageError in a datastore. */
export function makeFolder(folder: Buffer): void {
  if (existsSync(folder)) return
  refuseInsideStore(folder)
  // Step by step: a call that makes several does not tell which of them the system refuses, nor why.
  if (folder.length > 1) makeFolder(parentOf(folder))
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return
    throw folderError('make the folder', folder, error)
  }
}

/** What cannot be written to is told before a machine works on it, not when it does. */
function checkWritable(folder: Buffer): void {
  const nearest = existsSync(folder) || folder.length <= 1 ? folder : undefined
  if (nearest === undefined) return checkWritable(parentOf(folder))
  try {
    if (!statSync(nearest).isDirectory()) throw Object.assign(new Error('not a folder'), { code: 'ENOTDIR' })
    accessSync(nearest, constants.W_OK | constants.X_OK)
  } catch (error) {
    throw folderError('write to the folder', nearest, error)
  }
}

const WHY: Readonly<Record<string, string>> = { EROFS: 'it is mounted read-only', EACCES: 'this user may not', EPERM: 'this user may not', ENOTDIR: 'it is no folder' }

function folderError(operation: string, folder: Buffer, error: unknown): TargetError {
  const code = (error as NodeJS.ErrnoException).code ?? 'EIO'
  const path = escapeName(folder)
  const why = WHY[code]
  const remedy = 'Choose another folder for --overlay.'
  return new TargetError(`${path}: cannot ${operation}: ${why === undefined ? code : `${why} (${code})`}`, { path, operation, code, remedy }, { cause: error })
}

import { existsSync, mkdirSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import type { ReadAt } from '../bytes/read-at.js'
import { TargetError } from '../errors/errors.js'
import type { CowDisk } from '../overlay/cow-disk.js'
import { CowStream } from '../overlay/cow-stream.js'
import { MAP_SUFFIX, openOverlay } from '../overlay/open-overlay.js'
import type { MaybePromise } from '../tree/tree.js'
import type { ImageOverlay, ImageOverlays, WritableDisk } from '../tree/writable-disk.js'

const SLASH = 0x2f

interface OpenDisk {
  readonly disk: CowDisk
  readonly stream: CowStream
}

/**
 * Overlays in a folder, one file for each image that was written to, under the path that the image has in the mount.
 * Nothing is made before something is written.
 */
export class FolderOverlays implements ImageOverlays {
  readonly #folder: Buffer
  readonly #disks = new Map<string, Promise<OpenDisk>>()
  readonly #open = new Map<string, OpenDisk>()
  /** Images that had no overlay when they were first looked at. */
  readonly #untouched = new Set<string>()

  constructor(folder: Buffer) {
    this.#folder = folder
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
      if (this.#untouched.has(key)) return backup
      if (!existsSync(Buffer.concat([file, Buffer.from(MAP_SUFFIX)]))) {
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
    makeFolder(file.subarray(0, file.lastIndexOf(SLASH)))
    await backup.prepare?.()
    const disk = await openOverlay(file, { size: backup.size, identity, image: path }, backup)
    const opened: OpenDisk = { disk, stream: new CowStream(backup.name, disk, backup) }
    this.#open.set(key, opened)
    return opened
  }
}

/** A folder for this user alone, with those above it. TargetError when it cannot be made. */
export function makeFolder(folder: Buffer): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'EIO'
    const path = escapeName(folder)
    throw new TargetError(`${path}: cannot make the folder (${code})`, { path, operation: 'make the folder', code }, { cause: error })
  }
}

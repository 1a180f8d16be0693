import { existsSync, readdirSync } from 'node:fs'
import { makeFolder } from '../app/image-overlays.js'
import { escapeName } from '../bytes/names.js'
import { joinBytes, parentOf } from '../bytes/paths.js'
import { mapPathOf } from '../overlay/open-overlay.js'
import { imagePath, openDiskOverlay, type OverlaidDisk } from './disk-overlay.js'
import type { OpenDisk } from './open-disks.js'

/** Overlays of all disks of a machine, where a mount of the store with the same folder has them. */
export class OverlayFolder {
  readonly #folder: Buffer

  constructor(folder: Buffer) {
    this.#folder = folder
  }

  /** Something was written to one of the disks before. */
  has(disks: readonly OpenDisk[]): boolean {
    return disks.some((disk) => existsSync(mapPathOf(this.#fileOf(disk))))
  }

  /** Times of snapshots of the same machine, other than that of the disk, that it has overlays of; escaped. */
  otherTimes(disk: OpenDisk): string[] {
    const snapshot = parentOf(this.#fileOf(disk))
    try {
      return readdirSync(parentOf(snapshot)).filter((name) => name !== disk.snapshot.time).map((name) => escapeName(name)) // prettier-ignore
    } catch {
      return []
    }
  }

  /** Opens the overlay of a disk, or makes it. Rejects as `openDiskOverlay`. */
  open(disk: OpenDisk): Promise<OverlaidDisk> {
    const file = this.#fileOf(disk)
    makeFolder(parentOf(file))
    return openDiskOverlay(disk, file)
  }

  #fileOf(disk: OpenDisk): Buffer {
    return joinBytes(this.#folder, Buffer.from(imagePath(disk)))
  }
}

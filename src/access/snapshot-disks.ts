import { imageVersionOf, type ImageVersion } from '../browse/diff-images.js'
import { isDirectory, isRegular, isSymlink, type TreeView, type Found } from '../browse/tree-view.js'
import type { ReadAt } from '../bytes/read-at.js'
import { SourceError, withFields } from '../errors/errors.js'
import { LATEST } from '../source/source-string.js'

const IMAGE_SUFFIX = '.img'

/** A disk image of a snapshot, its index in memory. */
export interface Disk {
  /** Name in the snapshot, as `drive-scsi0.img`. */
  readonly archive: string
  readonly stream: ReadAt
  readonly version: ImageVersion
  /** SHA-256 over the entries of its index, hex. */
  readonly csum: string
}

/** Name a disk is exported under: `drive-scsi0`. */
export function exportName(archive: string): string {
  return archive.endsWith(IMAGE_SUFFIX) ? archive.slice(0, -IMAGE_SUFFIX.length) : archive
}

/** The disks of one group in all its snapshots. */
export interface SnapshotDisks {
  /** The folder name of a snapshot; `latest` is that of the newest. Rejects with SourceError. */
  resolveTime(time: string): Promise<string>
  /** All disks of a snapshot, by name. Rejects with what keeps one of them from being opened. */
  list(time: string): Promise<readonly Disk[]>
  /** The disk as that snapshot has it, or why there is none. */
  find(time: string, archive: string): Promise<Disk | string>
}

/** Reads disks from the tree of one group, whose root shows snapshots, or from that at `folder` of a larger one. */
export class GroupDisks implements SnapshotDisks {
  readonly #view: TreeView
  readonly #folder: Uint8Array

  constructor(view: TreeView, folder = '') {
    this.#view = view
    this.#folder = Buffer.from(folder)
  }

  async resolveTime(time: string): Promise<string> {
    const found = await this.#view.child(await this.#view.resolve(this.#folder), Buffer.from(time))
    if (found === undefined) throw missing(time, 'there is no such finished snapshot')
    if (time !== LATEST || !isSymlink(found)) return time
    return Buffer.from(await this.#view.readlink(found)).toString()
  }

  async list(time: string): Promise<Disk[]> {
    const folder = await this.#snapshot(time)
    if (folder === undefined) throw missing(time, 'there is no such finished snapshot')
    const disks: Disk[] = []
    for await (const found of this.#view.list(folder)) {
      const disk = found.name.toString().endsWith(IMAGE_SUFFIX) && isRegular(found) ? await this.#open(found) : undefined
      if (disk !== undefined) disks.push(disk)
    }
    return disks.sort((a, b) => (a.archive < b.archive ? -1 : 1))
  }

  async find(time: string, archive: string): Promise<Disk | string> {
    const folder = await this.#snapshot(time)
    if (folder === undefined) return `snapshot ${time} is gone`
    const found = await this.#view.child(folder, Buffer.from(archive))
    const disk = found === undefined || !isRegular(found) ? undefined : await this.#open(found)
    return disk ?? `snapshot ${time} has no disk ${archive}`
  }

  async #snapshot(time: string): Promise<Found | undefined> {
    const found = await this.#view.child(await this.#view.resolve(this.#folder), Buffer.from(time))
    return found !== undefined && isDirectory(found) ? found : undefined
  }

  /** undefined: a file of that name that is no image. */
  async #open(found: Found): Promise<Disk | undefined> {
    const archive = found.name.toString()
    try {
      const { stream } = await this.#view.content(found)
      const version = await imageVersionOf(stream, archive)
      return version.chunks?.chunkSize === undefined ? undefined : { archive, stream, version, csum: version.chunks.csum }
    } catch (error) {
      throw withFields(error, { stream: archive })
    }
  }
}

function missing(time: string, why: string): SourceError {
  return new SourceError(`${time}: ${why}`, { path: time, operation: 'open', code: 'ENOENT' })
}

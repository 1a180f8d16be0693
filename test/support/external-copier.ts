import { accessRanges, setupAccess, teardownAccess, type Access } from '#src/access/access.js'
import type { GroupPlace } from '#src/access/access-state.js'
import type { SnapshotDisks } from '#src/access/snapshot-disks.js'
import type { StateFiles } from '#src/access/state-files.js'
import type { ByteRange } from '#src/bytes/range-list.js'

/** What a copier did in one run. */
export interface CopierRun {
  readonly access: Access
  /** Bytes read of each disk, by its name in the snapshot. */
  readonly read: Map<string, ByteRange[]>
}

/**
 * Another backup program, as simple as one can be: it brings its copies to a snapshot in place, reads only what it is
 * told to, and keeps no old versions.
 */
export class ExternalCopier {
  /** By name in the snapshot. */
  readonly copies = new Map<string, Buffer>()
  readonly #files: StateFiles
  readonly #target: string
  readonly #place: GroupPlace

  constructor(files: StateFiles, target: string, place: GroupPlace) {
    this.#files = files
    this.#target = target
    this.#place = place
  }

  /** `failAfter`: it dies when it has copied so many ranges, and says that it failed. */
  async run(disks: SnapshotDisks, snapshot: string, bitmap: string | undefined, failAfter = Infinity): Promise<CopierRun> {
    const [target, place] = [this.#target, this.#place]
    const access = await setupAccess(this.#files, disks, { target, place, snapshot, bitmap })
    const read = new Map<string, ByteRange[]>()
    let left = failAfter
    for (const { archive, size, exportName } of access.disks) {
      const state = this.#files.list().states.find((candidate) => candidate.target === target && candidate.active?.id === access.id)
      const { ranges, disk } = await accessRanges(disks, state!, exportName)
      if (left > 0) this.#resize(archive, size)
      const done: ByteRange[] = []
      read.set(archive, done)
      for (const { offset, length } of ranges) {
        if (left-- <= 0) break
        this.copies.get(archive)!.set(await disk.stream.read(offset, length), offset)
        done.push({ offset, length })
      }
    }
    const success = failAfter === Infinity
    await teardownAccess(this.#files, { target, place, success, id: access.id })
    if (success) for (const archive of this.copies.keys()) if (!read.has(archive)) this.copies.delete(archive)
    return { access, read }
  }

  /** What is new holds whatever was on the storage before. */
  #resize(archive: string, size: number): void {
    const old = this.copies.get(archive) ?? Buffer.alloc(0)
    this.copies.set(archive, Buffer.concat([old.subarray(0, size), Buffer.alloc(Math.max(0, size - old.length), 0xaa)]))
  }
}

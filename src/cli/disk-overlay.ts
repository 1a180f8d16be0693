import { placeOf } from '../browse/find-disks.js'
import { fromRoot } from '../daemon/mountpoint.js'
import { UsageError } from '../errors/errors.js'
import type { Disk } from '../nbd/disk-table.js'
import { CowStream } from '../overlay/cow-stream.js'
import { openOverlay } from '../overlay/open-overlay.js'
import type { OpenDisk } from './open-disks.js'

/** A disk of the backup that can be written to. */
export interface OverlaidDisk {
  readonly disk: Disk
  /** Bytes. */
  readonly size: number
  readonly close: () => Promise<void>
}

/** The disk that one overlay is for. UsageError when there are more, or when it is none by itself. */
export function onlyDisk(disks: readonly OpenDisk[]): OpenDisk {
  const [only, ...others] = disks
  if (only?.identity !== undefined && others.length === 0) return only
  throw new UsageError('an overlay is for one whole disk', { remedy: 'Name its image: STORE::vm/100/latest/drive-scsi0.img' })
}

/** A whole disk with what was written to it; `file` is its overlay, made when it is missing. */
export async function openDiskOverlay(whole: OpenDisk, file: Buffer): Promise<OverlaidDisk> {
  const path = fromRoot(file)
  const { stream } = await whole.content()
  await stream.prepare?.()
  const { name, aliases = [], description, identity = '' } = whole
  const disk = await openOverlay(path, { size: stream.size, identity, image: imagePath(whole) }, stream)
  const changed = new CowStream(stream.name, disk, stream)
  return {
    disk: { name, aliases, description: `${description}, writable`, content: () => Promise.resolve({ stream: changed, start: 0, size: disk.size, writer: disk }) },
    size: disk.size,
    close: () => disk.close(),
  }
}

/** The path of the image in a mount of its store. */
export function imagePath({ snapshot, image }: OpenDisk): string {
  return `${placeOf(snapshot)}/${image}`
}

import { placeOf } from '../browse/find-disks.js'
import { currentFolder, joinBytes } from '../daemon/mountpoint.js'
import { UsageError } from '../errors/errors.js'
import type { Disk } from '../nbd/disk-table.js'
import { CowStream } from '../overlay/cow-stream.js'
import { openOverlay } from '../overlay/open-overlay.js'
import type { OpenDisk } from './open-disks.js'

/** The one disk with what was written to it; `file` is its overlay, made when it is missing. */
export async function openDiskOverlay(disks: readonly OpenDisk[], file: Buffer): Promise<{ readonly disk: Disk; readonly close: () => Promise<void> }> {
  const [only, ...others] = disks
  if (only?.identity === undefined || others.length > 0) {
    throw new UsageError('an overlay is for one whole disk', { remedy: 'Name its image: STORE::vm/100/latest/drive-scsi0.img' })
  }
  const { stream } = await only.content()
  await stream.prepare?.()
  const image = `${placeOf(only.snapshot)}/${only.image}`
  const path = file[0] === 0x2f ? file : joinBytes(currentFolder(), file)
  const disk = await openOverlay(path, { size: stream.size, identity: only.identity, image }, stream)
  const changed = new CowStream(stream.name, disk, stream)
  const { name, aliases = [], description } = only
  return {
    disk: { name, aliases, description: `${description}, writable`, content: () => Promise.resolve({ stream: changed, start: 0, size: disk.size, writer: disk }) },
    close: () => disk.close(),
  }
}

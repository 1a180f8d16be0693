import type { Disk, SnapshotDisks } from '#src/access/snapshot-disks.js'
import { imageVersionOf } from '#src/browse/diff-images.js'
import { SourceError } from '#src/errors/errors.js'
import { memoryImage } from './memory-image.js'

export interface MemoryDisk {
  bytes: Buffer
  /** See `StreamChunks`. */
  domain: string
  chunkSize?: number
}

export const MEMORY_CHUNK = 16

/** Snapshots of disks in memory, in chunks of 16 bytes. */
export class MemoryGroup implements SnapshotDisks {
  readonly snapshots = new Map<string, Map<string, MemoryDisk>>()
  /** Thrown when a disk is looked for. */
  failure: Error | undefined

  add(time: string, disks: Readonly<Record<string, Buffer | MemoryDisk>>): void {
    const own = Object.entries(disks).map(([name, disk]): [string, MemoryDisk] => {
      const { bytes, ...more } = Buffer.isBuffer(disk) ? { bytes: disk, domain: 'plain' } : disk
      return [name, { ...more, bytes: Buffer.from(bytes) }]
    })
    this.snapshots.set(time, new Map(own))
  }

  async resolveTime(time: string): Promise<string> {
    return time === 'latest' ? [...this.snapshots.keys()].at(-1)! : time
  }

  async list(time: string): Promise<Disk[]> {
    const disks = this.snapshots.get(time)
    if (disks === undefined) throw new SourceError('gone', { code: 'ENOENT' })
    return Promise.all([...disks.entries()].map(([archive, disk]) => open(archive, disk)))
  }

  async find(time: string, archive: string): Promise<Disk | string> {
    if (this.failure !== undefined) throw this.failure
    const disk = this.snapshots.get(time)?.get(archive)
    return disk === undefined ? `snapshot ${time} is gone` : open(archive, disk)
  }
}

async function open(archive: string, { bytes, domain, chunkSize = MEMORY_CHUNK }: MemoryDisk): Promise<Disk> {
  const stream = memoryImage(bytes, { chunkSize, digestDomain: domain })
  const version = await imageVersionOf(stream, archive)
  return { archive, stream, version, csum: version.chunks!.csum }
}

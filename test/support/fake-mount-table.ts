import type { MountedPlace, MountRequest, MountTable } from '#src/daemon/mount-table.js'
import { BusyError } from '#src/errors/errors.js'

/** A mount table in memory. `busy`: so many unmounts that are not lazy fail. */
export class FakeMountTable implements MountTable {
  readonly places: MountedPlace[] = []
  readonly dead = new Set<string>()
  readonly calls: string[] = []
  busy = 0

  add(mountpoint: string, type = 'fuse.pbsfs', minor = 90 + this.places.length): MountedPlace {
    const place = { mountpoint: Buffer.from(mountpoint), type, source: Buffer.from('src'), major: 0, minor }
    this.places.push(place)
    return place
  }

  list(_pid?: number): MountedPlace[] {
    return [...this.places]
  }

  async mount(request: MountRequest): Promise<{ fd: number }> {
    this.calls.push(`mount ${request.mountpoint.toString()}`)
    this.add(request.mountpoint.toString())
    return { fd: -1 }
  }

  async unmount(mountpoint: Buffer, lazy: boolean): Promise<void> {
    this.calls.push(`unmount${lazy ? ' lazy' : ''} ${mountpoint.toString()}`)
    if (!lazy && this.busy > 0) {
      this.busy--
      throw new BusyError('busy')
    }
    const at = this.places.findLastIndex((place) => place.mountpoint.equals(mountpoint))
    if (at >= 0) this.places.splice(at, 1)
  }

  async isDead(place: MountedPlace): Promise<boolean> {
    return this.dead.has(place.mountpoint.toString())
  }

  abort(minor: number): boolean {
    this.calls.push(`abort ${minor}`)
    return true
  }

  requireFuse(): void {
    this.calls.push('require fuse')
  }
}

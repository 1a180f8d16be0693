import { bytesOfKey, escapeName } from '../../bytes/names.js'
import { UnsupportedError, FormatError, isPbsfsError, type PbsfsError } from '../../errors/errors.js'
import type { Extent } from '../extent-stream.js'
import type { PhysicalVolume } from './physical-volume.js'
import type { LogicalVolume, VolumeGroup } from './volume-group.js'

/** A physical volume, and the disk (by name) it was found on. */
export interface FoundVolume {
  readonly disk: string
  readonly pv: PhysicalVolume
}

/** A logical volume, as the extents it is made of or the reason why there are none. */
export interface AssembledVolume {
  /** latin1. */
  readonly group: string
  readonly name: string
  readonly id: string
  /** For names: `linear`, `incomplete`, `thin`, `raid1`, ... */
  readonly kind: string
  /** Beside this disk it is shown: the one of its first extent. */
  readonly home: string
  readonly extents: readonly Extent[] | undefined
  /** Set without extents. */
  readonly problem?: PbsfsError
}

/**
 * The logical volumes that belong beside `disk`. Physical volumes are matched by their UUIDs: in
 * the disk itself first; on other disks only when exactly one has it, since a copy of a disk has
 * the same ones.
 */
export function assembleVolumes(disk: string, all: readonly FoundVolume[]): { volumes: AssembledVolume[]; problems: PbsfsError[] } {
  const volumes: AssembledVolume[] = []
  const problems: PbsfsError[] = []
  for (const group of groupsOf(disk, all).values()) {
    const finder = new DeviceFinder(disk, all, group)
    for (const volume of group.volumes) {
      const assembled = assemble(disk, group, volume, finder)
      if (assembled.home === disk) volumes.push(assembled)
    }
  }
  for (const { pv } of all.filter((found) => found.disk === disk)) {
    problems.push(...pv.problems)
    if (pv.group !== undefined || describedBy(pv, all) !== undefined || pv.problems.length > 0) continue
    const { stream, start } = pv.span
    problems.push(new FormatError(`${stream.name}: no metadata of a volume group for the physical volume ${pv.id}`, { stream: stream.name, offset: start }))
  }
  return { volumes, problems }
}

/** Does it take other disks to tell what is on the physical volumes of this one? */
export function needsOtherDisks(own: readonly PhysicalVolume[]): boolean {
  const ids = new Set(own.map(({ id }) => id))
  return own.some(({ group }) => group === undefined || [...group.pvs.values()].some(({ id }) => !ids.has(id)))
}

/** The newest metadata of every group that a physical volume of the disk is in, by the group's id. */
function groupsOf(disk: string, all: readonly FoundVolume[]): Map<string, VolumeGroup> {
  const groups = new Map<string, VolumeGroup>()
  for (const { pv } of all.filter((found) => found.disk === disk)) {
    const group = pv.group ?? describedBy(pv, all)
    if (group === undefined || groups.has(group.id)) continue
    const own = newest(all.filter((found) => found.disk === disk), group.id)
    const ids = new Set(all.filter((found) => found.disk === disk).map((found) => found.pv.id))
    const complete = own !== undefined && [...own.pvs.values()].every(({ id }) => ids.has(id))
    groups.set(group.id, complete ? own : (newest(all, group.id) ?? group))
  }
  return groups
}

function newest(found: readonly FoundVolume[], id: string): VolumeGroup | undefined {
  let best: VolumeGroup | undefined
  for (const { group } of found.map(({ pv }) => pv)) {
    if (group?.id === id && (best === undefined || group.seqno > best.seqno)) best = group
  }
  return best
}

/** The group that names a physical volume which has no metadata of its own. */
function describedBy(pv: PhysicalVolume, all: readonly FoundVolume[]): VolumeGroup | undefined {
  return all.map((found) => found.pv.group).find((group) => group !== undefined && [...group.pvs.values()].some(({ id }) => id === pv.id))
}

/** Finds the devices of one group as seen from one disk. */
class DeviceFinder {
  readonly #disk: string
  readonly #all: readonly FoundVolume[]
  readonly #group: VolumeGroup

  constructor(disk: string, all: readonly FoundVolume[], group: VolumeGroup) {
    this.#disk = disk
    this.#all = all
    this.#group = group
  }

  /** `alone`: the volume lies on this disk only, so copies elsewhere do not matter. Throws the reason. */
  find(name: string, alone: boolean): FoundVolume {
    const id = this.#group.pvs.get(name)!.id
    const matching = this.#all.filter(({ pv }) => pv.id === id)
    const candidates = alone ? matching.filter(({ disk }) => disk === this.#disk) : matching
    if (candidates.length === 1) return candidates[0]!
    const many = candidates.length > 1
    throw new UnsupportedError(
      many ? `its physical volume ${id} is there ${candidates.length} times` : `its physical volume ${id} is not in this snapshot, or cannot be read`,
      { feature: many ? 'ambiguous physical volume' : 'missing physical volume' },
    )
  }

  isHere(name: string): boolean {
    const id = this.#group.pvs.get(name)!.id
    return this.#all.some(({ disk, pv }) => disk === this.#disk && pv.id === id)
  }

  /** The disk that holds the device, when it is clear. */
  diskOf(name: string): string | undefined {
    const id = this.#group.pvs.get(name)!.id
    const matching = this.#all.filter(({ pv }) => pv.id === id)
    return matching.some(({ disk }) => disk === this.#disk) ? this.#disk : matching[0]?.disk
  }
}

function assemble(disk: string, group: VolumeGroup, volume: LogicalVolume, finder: DeviceFinder): AssembledVolume {
  const used = volume.segments.flatMap(({ pv }) => (pv === undefined ? [] : [pv]))
  // What has no extents of its own lies beside the first disk of its group.
  const places = used.length > 0 ? used : [...group.pvs.keys()]
  const home = places.map((pv) => finder.diskOf(pv)).find((found) => found !== undefined) ?? disk
  const base = { group: group.name, name: volume.name, id: volume.id, kind: volume.kind, home }
  const shown = escapeName(bytesOfKey(`${group.name}/${volume.name}`))
  try {
    if (volume.unsupported !== undefined) throw new UnsupportedError(`it is ${volume.unsupported}`, { feature: volume.kind })
    const alone = used.every((pv) => finder.isHere(pv))
    const extents = volume.segments.map(({ pv, from, count }): Extent => {
      const length = count * group.extentSize
      if (pv === undefined) return { stream: undefined, start: 0, length }
      const { span } = finder.find(pv, alone).pv
      const start = group.pvs.get(pv)!.start + from * group.extentSize
      if (!(start + length <= span.size)) {
        throw new FormatError('an extent of it lies outside its physical volume', {
          stream: span.stream.name, offset: span.start + start, expected: `at most ${span.size}`, actual: start + length,
        }) // prettier-ignore
      }
      return { stream: span.stream, start: span.start + start, length }
    })
    return { ...base, extents }
  } catch (error) {
    if (!isPbsfsError(error)) throw error
    const kind = volume.unsupported === undefined ? 'incomplete' : volume.kind
    return { ...base, kind, extents: undefined, problem: new UnsupportedError(`logical volume ${shown} is not shown: ${error.message}`, error.fields, { cause: error }) }
  }
}

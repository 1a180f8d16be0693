import { bytesOfKey, escapeName } from '../bytes/names.js'
import type { ReadAt } from '../bytes/read-at.js'
import type { PbsfsError } from '../errors/errors.js'
import { describeDisk } from './describe.js'
import { ExtentStream, streamOf } from './extent-stream.js'
import { logicalName, NameSet, volumeName } from './file-names.js'
import { assembleVolumes, needsOtherDisks, type AssembledVolume, type FoundVolume } from './lvm/assemble.js'
import { scanDisk, type DiskScan, type Part } from './scan-disk.js'
import { isDamage, isPassing, wholeOf } from './span.js'
import type { FileSystem } from './superblocks/file-system.js'
import { probeFileSystem } from './superblocks/probe.js'
import type { Note, Volume } from './volume.js'

/** Name of the file that tells what is in the folder. No volume has it: those have a dash, or a number in front. */
export const README_NAME = 'README.txt'

/** A disk image of a snapshot. */
export interface Disk {
  readonly name: string
  readonly stream: ReadAt
}

export interface DiskVolumes {
  readonly volumes: readonly Volume[]
  /** README.txt, and one for each logical volume that cannot be shown. */
  readonly notes: readonly Note[]
  /** What is wrong with tables and metadata. */
  readonly problems: readonly PbsfsError[]
  /** Some of it could not be read, which may be different the next time. */
  readonly passing: boolean
}

/** The disks of one snapshot, whose partitions and volumes are looked for when somebody asks. */
export class DiskSet {
  readonly #disks: ReadonlyMap<string, Disk>
  readonly #scans = new Map<string, Promise<DiskScan>>()
  readonly #found = new Map<string, Promise<DiskVolumes>>()

  constructor(disks: readonly Disk[]) {
    this.#disks = new Map(disks.map((disk) => [disk.name, disk]))
  }

  /**
   * What is shown beside the disk of that name. Reads other disks only when a volume group says
   * that it spans several. Rejects with KeyError when the disk itself cannot be read without one.
   */
  volumesOf(name: string): Promise<DiskVolumes> {
    return remember(this.#found, name, () => this.#volumesOf(this.#disks.get(name)!), ({ passing }) => passing)
  }

  async #volumesOf(disk: Disk): Promise<DiskVolumes> {
    const { name } = disk
    const scan = await this.#scan(disk)
    const { found, problems: unread } = await this.#physicalVolumes(disk, scan)
    const lvm = assembleVolumes(name, found)
    const names = new NameSet()
    names.add(README_NAME)
    const volumes = scan.parts.flatMap((part) => partVolume(disk, part, names) ?? [])
    const notes: Note[] = []
    for (const logical of lvm.volumes) {
      if (logical.extents === undefined) notes.push(noteOf(logical, names))
      else volumes.push(await logicalVolume(logical, logical.extents, names))
    }
    const problems = [...scan.problems, ...lvm.problems, ...unread]
    const faults = [...problems, ...volumes.flatMap(({ problem }) => problem ?? [])]
    notes.unshift({ name: README_NAME, text: describeDisk(name, scan, volumes, notes, problems) })
    return { volumes, notes, problems, passing: faults.some(isPassing) }
  }

  /** Those of the disk itself, and of all others when they are needed. */
  async #physicalVolumes(disk: Disk, scan: DiskScan): Promise<{ found: FoundVolume[]; problems: PbsfsError[] }> {
    const found = scan.pvs.map((pv) => ({ disk: disk.name, pv }))
    const problems: PbsfsError[] = []
    if (scan.pvs.length === 0 || !needsOtherDisks(scan.pvs)) return { found, problems }
    for (const other of this.#disks.values()) {
      if (other === disk) continue
      try {
        const { pvs, problems: wrong } = await this.#scan(other)
        found.push(...pvs.map((pv) => ({ disk: other.name, pv })))
        problems.push(...wrong)
      } catch (error) {
        // Of what another disk lacks, only the volumes that need it are lost; they say so.
        if (!isDamage(error) && !isKeyError(error)) throw error
      }
    }
    return { found, problems }
  }

  #scan(disk: Disk): Promise<DiskScan> {
    const isHalf = ({ parts, problems }: DiskScan) => [...problems, ...parts.flatMap(({ problem }) => problem ?? [])].some(isPassing)
    return remember(this.#scans, disk.name, () => scanDisk(disk.stream), isHalf)
  }
}

/** The result known under that key, or a new one; what failed, or has to be tried again, is not kept. */
function remember<T>(known: Map<string, Promise<T>>, key: string, make: () => Promise<T>, again: (value: T) => boolean): Promise<T> {
  const running = known.get(key)
  if (running !== undefined) return running
  const made = make()
  known.set(key, made)
  const forget = () => void known.delete(key)
  made.then((value) => void (again(value) && forget()), forget)
  return made
}

function isKeyError(error: unknown): boolean {
  return (error as { tag?: unknown }).tag === 'key'
}

/** undefined: a disk that is nothing but a physical volume, which is the image itself. */
function partVolume(disk: Disk, part: Part, names: NameSet): Volume | undefined {
  const { partition, fileSystem, problem, span } = part
  if (partition === undefined && fileSystem?.type === 'LVM2_member') return undefined
  const label = fileSystem?.label ?? (partition?.name === undefined ? undefined : Buffer.from(partition.name))
  const prefix = partition === undefined ? 'disk' : `p${partition.number}`
  const name = names.add(volumeName(prefix, label, fileSystem?.extension ?? 'raw'))
  const called = partition?.name === undefined ? '' : ` "${escapeName(partition.name)}"`
  const title = partition === undefined ? 'the whole disk' : `partition ${partition.number}${called}`
  return { name, stream: streamOf(`${disk.stream.name} ${name}`, span), title, fileSystem, problem }
}

async function logicalVolume(logical: AssembledVolume, extents: NonNullable<AssembledVolume['extents']>, names: NameSet): Promise<Volume> {
  const title = titleOf(logical)
  const stream = new ExtentStream(title, extents)
  let fileSystem: FileSystem | undefined
  let problem: PbsfsError | undefined
  try {
    fileSystem = await probeFileSystem(wholeOf(stream))
  } catch (error) {
    if (!isDamage(error)) throw error
    problem = error
  }
  const name = names.add(`${baseOf(logical)}.${fileSystem?.extension ?? 'raw'}`)
  return { name, stream, title, fileSystem, problem }
}

function noteOf(logical: AssembledVolume, names: NameSet): Note {
  const name = names.add(`${baseOf(logical)}.${logical.kind}.txt`)
  return { name, text: `${logical.problem?.message ?? titleOf(logical)}.\n` }
}

function baseOf({ group, name }: AssembledVolume): string {
  return logicalName(bytesOfKey(group), bytesOfKey(name))
}

function titleOf({ group, name }: AssembledVolume): string {
  return `logical volume ${escapeName(bytesOfKey(`${group}/${name}`))}`
}

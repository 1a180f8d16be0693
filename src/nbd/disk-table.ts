import type { RangeList } from '../bytes/range-list.js'
import type { ReadAt } from '../bytes/read-at.js'
import type { ExportTable, ExportWriter, NbdExport, OpenExport } from './export.js'
import { allocationOf, BASE_ALLOCATION, dirtyBitmap, DIRTY_BITMAP } from './meta-contexts.js'
import { MAX_STRING } from './protocol/options.js'

/** A disk image, or a partition or volume of one, that can be exported. */
export interface Disk {
  readonly name: string
  /** Other names that find it. */
  readonly aliases?: readonly string[]
  /** For people, one line. */
  readonly description: string
  /** Opens it. Rejects with what is wrong with it. Without a writer it is read-only. */
  content(): Promise<{ readonly stream: ReadAt; readonly start: number; readonly size: number; readonly writer?: ExportWriter }>
  /** What is inside, each with its name behind that of this one and a slash; reads the disk. Absent: nothing. */
  volumes?(): Promise<readonly Disk[]>
  /** What changed since some time, under a name. */
  readonly bitmap?: { readonly name: string; ranges(): Promise<RangeList> } | undefined
}

/** Disks as exports. What is inside a disk is an export, too, as soon as somebody has looked. */
export class DiskTable implements ExportTable {
  readonly #disks: readonly Disk[]
  readonly #exports = new Map<string, NbdExport>()
  readonly #aliases = new Map<string, string>()
  readonly #looking = new Map<Disk, Promise<void>>()

  /** In the order of `list`, names that are too long for the protocol left out. */
  constructor(disks: readonly Disk[]) {
    this.#disks = disks.filter(isNameable)
    for (const disk of this.#disks) this.#add(disk)
  }

  list(): readonly NbdExport[] {
    return this.#disks.flatMap(({ name }) => {
      const own = this.#exports.get(name)!
      return [own, ...(this.#inside.get(name) ?? [])]
    })
  }

  async find(name: string): Promise<NbdExport | undefined> {
    if (name === '') return this.list()[0]
    const known = this.#known(name)
    if (known !== undefined) return known
    const disk = this.#disks.find(({ name: own, aliases = [] }) => [own, ...aliases].some((one) => name.startsWith(`${one}/`)))
    if (disk === undefined) return undefined
    await this.look(disk)
    return this.#known(name)
  }

  /** Looks what is inside a disk. Rejects with what is wrong with it; then it can be tried again. */
  look(disk: Disk): Promise<void> {
    const running = this.#looking.get(disk) ?? this.#look(disk)
    this.#looking.set(disk, running)
    running.catch(() => this.#looking.delete(disk))
    return running
  }

  /** Volumes by the name of their disk. */
  readonly #inside = new Map<string, readonly NbdExport[]>()

  #known(name: string): NbdExport | undefined {
    return this.#exports.get(name) ?? this.#exports.get(this.#aliases.get(name) ?? '')
  }

  async #look(disk: Disk): Promise<void> {
    const volumes = (await disk.volumes?.()) ?? []
    this.#inside.set(disk.name, volumes.filter(isNameable).map((volume) => this.#add(volume)))
  }

  #add(disk: Disk): NbdExport {
    const made = makeExport(disk)
    this.#exports.set(disk.name, made)
    for (const alias of disk.aliases ?? []) this.#aliases.set(alias, disk.name)
    return made
  }
}

function isNameable({ name }: Disk): boolean {
  return Buffer.byteLength(name) <= MAX_STRING && !name.includes('\0')
}

function makeExport(disk: Disk): NbdExport {
  const { name, description, bitmap } = disk
  const dirty = bitmap === undefined ? undefined : DIRTY_BITMAP + bitmap.name
  return {
    name,
    description,
    contexts: [BASE_ALLOCATION, ...(dirty === undefined ? [] : [dirty])],
    open: async (): Promise<OpenExport> => {
      const { stream, start, size, writer } = await disk.content()
      await stream.prepare?.()
      const allocation = allocationOf(stream, start, size)
      const changed = bitmap === undefined ? undefined : dirtyBitmap(await bitmap.ranges(), size)
      return { stream, start, size, writer, context: (wanted) => (wanted === dirty && changed !== undefined ? changed : allocation) }
    },
  }
}

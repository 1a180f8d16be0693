import { escapeName } from '../bytes/names.js'
import type { ReadAt } from '../bytes/read-at.js'
import { NodeError, SourceError } from '../errors/errors.js'
import { archivesOf, findArchive, type Archive } from '../source/archives.js'
import type { SnapshotRef } from '../source/datastore.js'
import type { Selector } from '../source/source-string.js'
import { versionOf } from '../tree/archive-versions.js'
import type { SnapshotSummary } from './list-snapshots.js'
import { isRegular, type Found, type TreeView } from './tree-view.js'

/** Behind the name of an image: the folder of what is inside it. */
const PARTS = '.parts'

/** Disks of Proxmox VE that hold UEFI variables and the state of a TPM. */
const FIRMWARE = /^drive-(?:efidisk|tpmstate)/

/** Attributes of a volume that tell what it is; those the tree gives it. */
const FSTYPE = Buffer.from('user.pbs.fstype')
const LABEL = Buffer.from('user.pbs.label')

/** An image, a partition or a volume; nothing of it was read. */
export interface FoundDisk {
  /** `drive-scsi0`, `drive-scsi0/p3-root.ext4`; with more than one snapshot `vm/100/TIME/` is in front. */
  readonly name: string
  /** The same with the name of the file. */
  readonly aliases: readonly string[]
  /** For people, one line. */
  readonly description: string
  readonly snapshot: SnapshotRef
  /** The image as the snapshot shows it. */
  readonly image: string
  /** Tells the contents of a whole disk from any other; undefined: it is a part of one. */
  readonly identity?: string
  content(): Promise<{ readonly stream: ReadAt; readonly start: number; readonly size: number }>
  /** What is inside, as the tree shows it; reads the disk. */
  readonly volumes?: () => Promise<FoundDisk[]>
}

export interface DiskSearch {
  readonly view: TreeView
  /** Where the tree of a snapshot is in that of the view; ends in a slash unless it is empty. */
  readonly folderOf: (snapshot: SnapshotRef) => string
  /** What stands in front of names. */
  readonly prefixOf: (snapshot: SnapshotRef) => string
}

/**
 * The disks of a snapshot that `selector` means: all images; one of them; or what is inside one. SourceError when there
 * is no such thing.
 */
export async function findDisks(summary: SnapshotSummary, selector: Selector, search: DiskSearch): Promise<FoundDisk[]> {
  const archives = archivesOf(summary)
  const images = archives.filter(({ kind }) => kind === 'image').sort(byUse)
  const finder = new DiskFinder(summary.snapshot, search, new Set(images.map(({ name }) => name)))
  const { archive: wanted, inside } = selector
  if (wanted === undefined) return images.map((image) => finder.disk(image))
  const archive = findArchive(archives, wanted)
  if (archive?.kind === 'image' && inside === undefined) return [finder.disk(archive)]
  const parts = archive === undefined && wanted.endsWith(PARTS) ? findArchive(images, wanted.slice(0, -PARTS.length)) : undefined
  if (parts !== undefined) return finder.volumesOf(parts.name, inside)
  if (archive !== undefined && inside !== undefined) return [await finder.file(archive, inside)]
  const path = `${placeOf(summary.snapshot)}/${wanted}`
  if (archive === undefined) throw new SourceError(`${path}: there is no such archive in the snapshot`, { path, operation: 'open', code: 'ENOENT' })
  throw new SourceError(`${path} is no disk image`, { path, operation: 'open', code: 'EINVAL' })
}

/** A disk that a machine works with comes before those that hold settings of its firmware. */
function byUse(a: Archive, b: Archive): number {
  return Number(FIRMWARE.test(a.name)) - Number(FIRMWARE.test(b.name)) || (a.name < b.name ? -1 : 1)
}

/** `ns/prod/vm/100/2026-01-02T00:00:00Z`. */
export function placeOf({ group, time }: SnapshotRef): string {
  return [...group.ns.flatMap((name) => ['ns', name]), group.type, group.id, time].join('/')
}

class DiskFinder {
  readonly #snapshot: SnapshotRef
  readonly #search: DiskSearch
  readonly #images: ReadonlySet<string>

  constructor(snapshot: SnapshotRef, search: DiskSearch, images: ReadonlySet<string>) {
    this.#snapshot = snapshot
    this.#search = search
    this.#images = images
  }

  disk(image: Archive): FoundDisk {
    const { name, size } = image
    const description = `disk of ${placeOf(this.#snapshot)}, ${size} bytes`
    return { ...this.#found(this.#nameOf(name), Buffer.from(name), description, name), identity: versionOf(image), volumes: () => this.volumesOf(name) }
  }

  /** The files beside an image that are volumes; with `only` the one of that name. */
  async volumesOf(image: string, only?: Uint8Array): Promise<FoundDisk[]> {
    const { view } = this.#search
    const folder = await this.#resolve(Buffer.from(image + PARTS))
    const disks: FoundDisk[] = []
    for await (const found of view.list(folder)) {
      // Texts about the disk; no volume has that ending.
      if (!isRegular(found) || found.name.toString('latin1').endsWith('.txt')) continue
      if (only === undefined || found.name.equals(only)) disks.push(await this.#volume(image, found))
    }
    if (only === undefined || disks.length > 0) return disks
    const path = `${placeOf(this.#snapshot)}/${image}${PARTS}/${escapeName(only)}`
    throw new SourceError(`${path}: there is no such partition or volume`, { path, operation: 'open', code: 'ENOENT' })
  }

  /** A file inside an archive, which may be the disk of a machine. */
  async file(archive: Archive, inside: Uint8Array): Promise<FoundDisk> {
    const path = Buffer.concat([Buffer.from(`${archive.name}/`), inside])
    const found = await this.#resolve(path)
    const shown = `${placeOf(this.#snapshot)}/${escapeName(path)}`
    if (!isRegular(found)) throw new NodeError('EINVAL', `${shown} is no file`, { path: shown })
    const name = `${archive.name}/${escapeName(inside)}`
    return this.#found(name, path, `file of ${placeOf(this.#snapshot)}, ${found.attr.size} bytes`, archive.name)
  }

  async #volume(image: string, found: Found): Promise<FoundDisk> {
    const { view } = this.#search
    const xattrs = await view.xattrs(found)
    const valueOf = (wanted: Buffer): string | undefined => {
      const value = xattrs.find(([name]) => wanted.equals(name))?.[1]
      return value === undefined ? undefined : escapeName(value)
    }
    const label = valueOf(LABEL)
    const kind = valueOf(FSTYPE) ?? 'no known file system'
    const description = `${kind}${label === undefined ? '' : ` "${label}"`} in ${image} of ${placeOf(this.#snapshot)}, ${found.attr.size} bytes`
    const path = Buffer.concat([Buffer.from(`${image}${PARTS}/`), found.name])
    return this.#found(`${this.#nameOf(image)}/${found.name.toString()}`, path, description, image)
  }

  #found(name: string, path: Buffer, description: string, image: string): FoundDisk {
    const prefix = this.#search.prefixOf(this.#snapshot)
    const byFile = path.toString()
    return {
      name: prefix + name,
      aliases: byFile === name ? [] : [prefix + byFile],
      description,
      snapshot: this.#snapshot,
      image,
      content: async () => this.#search.view.content(await this.#resolve(path)),
    }
  }

  #resolve(path: Uint8Array): Promise<Found> {
    return this.#search.view.resolve(Buffer.concat([Buffer.from(this.#search.folderOf(this.#snapshot)), path]))
  }

  /** `drive-scsi0`, unless another image has that name. */
  #nameOf(image: string): string {
    const short = image.replace(/\.img$/, '')
    return this.#images.has(short) ? image : short
  }
}

import { peekSize } from '../bytes/le.js'
import { FormatError, UnsupportedError } from '../errors/errors.js'
import type { PxarArchive } from './archive.js'
import type { Catalog, CatalogFolder } from './catalog.js'
import { damage } from './damage.js'
import { KIND_DIR, KIND_HARDLINK, createRecord } from './entry-record.js'
import { findRow } from './find-row.js'
import {
  HEADER_SIZE, ITEM_FILENAME, ITEM_FORMAT_VERSION, ITEM_HARDLINK, ITEM_PAYLOAD_START_MARKER, ITEM_PAYLOAD_TAIL_MARKER,
  ITEM_PRELUDE, ITEM_UNKNOWN,
} from './format.js' // prettier-ignore
import { checkNesting, readTail } from './goodbye.js'
import { readChild } from './layout.js'
import { TimeSlice } from './time-slice.js'
import { HEAD_EXTRA, walkItems, type WalkOptions } from './walk-items.js'

/** Files with more than one name in one archive: FILENAME offset to number of names. */
export type LinkCounts = Map<number, number>

const SLICE_MS = 1
/** Linked files counted; a Map of that many takes about 250 MB. */
const MAX_LINKED_FILES = 4 * 1024 * 1024
/** HARDLINK header and distance. */
const LINK_HEAD = HEADER_SIZE + HEAD_EXTRA

/**
 * Counts the names of linked files in one pass over the metadata stream. A file that is not in the result has one name.
 * Rejects on damage that breaks the chain of items, and with AbortedError.
 */
export async function countLinks(archive: PxarArchive, options: WalkOptions = {}): Promise<LinkCounts> {
  const counts: LinkCounts = new Map()
  const { name } = archive.meta
  let own = -1
  await walkItems(
    archive,
    (item, pos, size, view, at) => {
      switch (item) {
        case ITEM_FILENAME:
          own = pos
          break
        case ITEM_HARDLINK: {
          const delta = size < LINK_HEAD ? -1 : peekSize(view, at + HEADER_SIZE)
          // A link to nowhere is no name of anything; its directory reports it.
          if (own >= 0 && delta > 0 && delta <= own) addLink(counts, own - delta, name)
          own = -1
          break
        }
        case ITEM_UNKNOWN:
        case ITEM_FORMAT_VERSION:
        case ITEM_PRELUDE:
        case ITEM_PAYLOAD_START_MARKER:
        case ITEM_PAYLOAD_TAIL_MARKER:
          throw damage(name, pos, item, 'an item that cannot be here')
      }
      return true
    },
    options,
  )
  return counts
}

/**
 * The same by the catalog of the snapshot: names it says are links are looked up, and nothing
 * else of the archive is read. Undefined when the catalog does not know the archive; rejects with
 * FormatError when the two disagree. `archiveName` as the server writes it: `root.pxar.didx`.
 */
export async function countLinksByCatalog(
  archive: PxarArchive,
  catalog: Catalog,
  archiveName: string,
  options: WalkOptions = {},
): Promise<LinkCounts | undefined> {
  const links = await catalog.findHardLinks(archiveName, options)
  if (links === undefined) return undefined
  const counts: LinkCounts = new Map()
  const folders = new FolderFinder(archive)
  const slice = new TimeSlice(options.sliceMs ?? SLICE_MS, options.signal)
  for (const { folder, name } of links) {
    slice.check()
    addLink(counts, await folders.linkTarget(folder, name), archive.meta.name)
    await slice.pause()
  }
  return counts
}

function addLink(counts: LinkCounts, target: number, stream: string): void {
  const before = counts.get(target)
  if (before === undefined && counts.size >= MAX_LINKED_FILES) {
    throw new UnsupportedError(`${stream}: more than ${MAX_LINKED_FILES} linked files`, { feature: 'link counts', stream })
  }
  counts.set(target, (before ?? 1) + 1)
}

interface FolderPlace {
  readonly end: number
  readonly entryOfs: number
}

/** Finds paths of the catalog in the archive, through the tables alone. */
class FolderFinder {
  readonly #archive: PxarArchive
  readonly #places = new Map<CatalogFolder, FolderPlace>()
  readonly #record = createRecord()

  constructor(archive: PxarArchive) {
    this.#archive = archive
  }

  /** FILENAME offset of the file that the hard link `name` in `folder` is another name of. */
  async linkTarget(folder: CatalogFolder, name: Uint8Array): Promise<number> {
    await this.#child(await this.#place(folder), name)
    if (this.#record.kind !== KIND_HARDLINK) throw this.#disagree('an entry that is a hard link there is none here')
    return this.#record.linkTarget
  }

  async #place(folder: CatalogFolder): Promise<FolderPlace> {
    const path: CatalogFolder[] = []
    let known: FolderPlace | undefined
    for (let at: CatalogFolder | undefined = folder; at !== undefined; at = at.parent) {
      known = at.parent === undefined ? { end: this.#archive.rootEnd, entryOfs: this.#archive.rootEntryOfs } : this.#places.get(at)
      if (known !== undefined) break
      path.push(at)
    }
    if (known === undefined) throw this.#disagree('a folder without root')
    for (const step of path.reverse()) {
      known = await this.#enter(known, step.name)
      this.#places.set(step, known)
    }
    return known
  }

  async #enter(parent: FolderPlace, name: Uint8Array): Promise<FolderPlace> {
    const { meta } = this.#archive
    const row = await this.#child(parent, name)
    const record = this.#record
    if (record.kind !== KIND_DIR) throw this.#disagree('an entry that is a directory there is none here')
    const end = checkNesting(meta.name, record.fileOfs, record.itemEnd, row.extent, row.table)
    const { entryOfs } = record
    const span = await readTail(this.#archive, end)
    if (span.entryOfs !== entryOfs) throw damage(meta.name, end, 'GOODBYE tail', 'the table belongs to another directory', entryOfs, span.entryOfs)
    return { end, entryOfs }
  }

  /** Decodes the child of that name into `#record`. */
  async #child(parent: FolderPlace, name: Uint8Array): Promise<{ extent: number; table: number }> {
    const { meta } = this.#archive
    const span = await readTail(this.#archive, parent.end)
    if (span.entryOfs !== parent.entryOfs) {
      throw damage(meta.name, parent.end, 'GOODBYE tail', 'the table belongs to another directory', parent.entryOfs, span.entryOfs)
    }
    const row = await findRow(this.#archive, span, name)
    if (row === undefined) throw this.#disagree('a name of the catalog is not in the archive')
    await readChild(meta, row.fileOfs, span.start, this.#record)
    return { extent: row.extent, table: span.start }
  }

  #disagree(problem: string): FormatError {
    const { name } = this.#archive.meta
    return new FormatError(`${name}: archive and catalog disagree: ${problem}`, { stream: name })
  }
}

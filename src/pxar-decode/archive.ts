import { peekSize, viewOf } from '../bytes/le.js'
import type { ReadAt } from '../bytes/read-at.js'
import { UnsupportedError } from '../errors/errors.js'
import { peekAttributes, readAttributes, type Xattr } from './attributes.js'
import { contentRun, type ContentRun } from './content-run.js'
import { cutOff, damage } from './damage.js'
import type { DirTable } from './dir-table.js'
import { FLAG_PAYLOAD_REF, KIND_DIR, KIND_FILE, KIND_SYMLINK, createRecord, type EntryRecord } from './entry-record.js'
import { findEntry, openRowTable, type RowTable } from './find-entry.js'
import {
  FORMAT_VERSION_SIZE, HEADER_SIZE, ITEM_ENTRY, ITEM_ENTRY_V1, ITEM_FORMAT_VERSION, ITEM_PAYLOAD_REF, ITEM_PRELUDE,
  ITEM_SYMLINK, MAX_PRELUDE, MIN_ARCHIVE, itemOf,
} from './format.js' // prettier-ignore
import { readTail } from './goodbye.js'
import { peekChild, readChild, readHead, type ArchiveLayout } from './layout.js'
import { openDirectory } from './open-dir.js'
import { PayloadStream } from './payload.js'

export type MaybePromise<T> = T | Promise<T>

/** Where the bytes of a file are. */
export interface ContentPlace {
  readonly stream: ReadAt
  /** First byte of the file in the stream. */
  readonly start: number
  readonly size: number
}

export interface ArchiveStreams {
  /** The metadata stream, or the whole of a classic archive. */
  readonly meta: ReadAt
  /** The payload stream of a split archive. Without it the archive can be browsed. */
  readonly payload?: ReadAt
}

interface Opening {
  readonly version: number
  /** PRELUDE header and size, 0 without one. */
  readonly preludeOfs: number
  readonly preludeSize: number
  readonly rootEntryOfs: number
}

/**
 * A pxar archive, read at random places. A directory is named by the end of its table, everything
 * else by the offset of its FILENAME header; both are properties of the archive, the same each
 * time it is opened. Damage is FormatError or TruncatedError with stream and offset; failures of
 * a stream come through as they are. Holds no resources.
 */
export class PxarArchive implements ArchiveLayout {
  readonly meta: ReadAt
  readonly payload: ReadAt | undefined
  /** 1 (classic) or 2 (split). */
  readonly version: number
  readonly split: boolean
  readonly rootEntryOfs: number
  /** The root directory; `fileOfs` is -1. */
  readonly root: Readonly<EntryRecord>
  /** Names the root directory. */
  readonly rootEnd: number
  readonly #opening: Opening
  readonly #payload: PayloadStream | undefined

  private constructor(streams: ArchiveStreams, opening: Opening, root: EntryRecord) {
    this.meta = streams.meta
    this.payload = streams.payload
    this.version = opening.version
    this.split = opening.version === 2 || streams.payload !== undefined
    this.rootEntryOfs = opening.rootEntryOfs
    this.root = root
    this.rootEnd = streams.meta.size
    this.#opening = opening
    this.#payload = streams.payload === undefined ? undefined : new PayloadStream(streams.payload)
  }

  /** Reads the first few hundred bytes of the metadata stream: version and the root's attributes. */
  static async open(streams: ArchiveStreams): Promise<PxarArchive> {
    const { meta } = streams
    if (meta.size < MIN_ARCHIVE) throw cutOff(meta.name, 0, 'archive', MIN_ARCHIVE, meta.size)
    const opening = await readOpening(meta)
    const root = createRecord()
    await readHead(meta, opening.rootEntryOfs, meta.size, root)
    if (root.kind !== KIND_DIR) throw damage(meta.name, opening.rootEntryOfs, ITEM_ENTRY, 'the root is not a directory')
    root.fileOfs = -1
    root.end = meta.size
    return new PxarArchive(streams, opening, root)
  }

  /** Exclusion rules of the backup (JSON, not checked); undefined when there are none. */
  async readPrelude(): Promise<Uint8Array | undefined> {
    const { preludeOfs, preludeSize } = this.#opening
    if (preludeOfs === 0) return undefined
    if (preludeSize > MAX_PRELUDE) {
      throw damage(this.meta.name, preludeOfs, ITEM_PRELUDE, `${preludeSize} bytes`, `at most ${MAX_PRELUDE}`, preludeSize)
    }
    return this.meta.read(preludeOfs + HEADER_SIZE, preludeSize)
  }

  /** Decodes the non-directory at `fileOfs` if its bytes are in memory. Throws on damage. */
  peekEntry(fileOfs: number, out: EntryRecord): boolean {
    return peekChild(this.meta, fileOfs, this.meta.size, out)
  }

  /** The non-directory at `fileOfs`. */
  async readEntry(fileOfs: number): Promise<EntryRecord> {
    const out = createRecord()
    await readChild(this.meta, fileOfs, this.meta.size, out)
    return out
  }

  /** The directory whose table ends at `end`; `fileOfs` is -1. Reads its tail row and its head. */
  async readDirEntry(end: number): Promise<EntryRecord> {
    if (end === this.rootEnd) return { ...this.root }
    const span = await readTail(this, end)
    const out = createRecord()
    await readHead(this.meta, span.entryOfs, end, out)
    if (out.kind !== KIND_DIR) throw damage(this.meta.name, span.entryOfs, ITEM_ENTRY, 'not a directory')
    out.fileOfs = -1
    out.end = end
    return out
  }

  /**
   * Decodes the directory whose table ends at `end`. `expectEntry` is the `entryOfs` its parent
   * tells. Throws on damage of the table; a damaged entry is missing and in `problems`.
   */
  openDir(end: number, expectEntry?: number): Promise<DirTable> {
    return openDirectory(this, end, expectEntry ?? (end === this.rootEnd ? this.rootEntryOfs : undefined))
  }

  /**
   * The rows of that directory, for `findEntry`; undefined: only the decoded directory tells. Worth it in a
   * classic archive alone, where between the entries of a directory lie all contents below it.
   */
  async openRows(end: number, expectEntry?: number): Promise<RowTable | undefined> {
    return this.split ? undefined : openRowTable(this, end, expectEntry ?? (end === this.rootEnd ? this.rootEntryOfs : undefined))
  }

  /** An entry by its name, reading no other; undefined: ask the decoded directory. */
  findEntry(rows: RowTable, name: Uint8Array): Promise<EntryRecord | undefined> {
    return findEntry(this, rows, name)
  }

  /** Where the content of a file is; its payload header is checked once. Synchronous when that is in memory. */
  contentOf(record: Readonly<EntryRecord>): MaybePromise<ContentPlace> {
    const { contentOfs, size } = record
    if (record.kind !== KIND_FILE) throw damage(this.meta.name, record.entryOfs, ITEM_ENTRY, 'not a regular file')
    if ((record.flags & FLAG_PAYLOAD_REF) === 0) return { stream: this.meta, start: contentOfs + HEADER_SIZE, size }
    const payload = this.#payload
    if (payload === undefined) throw this.#missingPayload(record)
    const place = { stream: payload.stream, start: contentOfs + HEADER_SIZE, size }
    const pending = payload.verify(contentOfs, size)
    return pending === undefined ? place : pending.then(() => place)
  }

  /** Where the contents of the files among entries `[from, to)` of a directory are, as far as that can be told without waiting. */
  contentRun(table: DirTable, from: number, to: number): ContentRun {
    return contentRun(table, from, to, this.meta, this.#payload)
  }

  /** Extended attributes of an entry (or of the one with that `entryOfs`), ACLs and capabilities among them. */
  attributes(entry: number | Readonly<EntryRecord>): Promise<Xattr[]> {
    return readAttributes(this.meta, typeof entry === 'number' ? entry : entry.entryOfs)
  }

  /** The same when all is in memory, else undefined. */
  peekAttributes(entry: number | Readonly<EntryRecord>): Xattr[] | undefined {
    return peekAttributes(this.meta, typeof entry === 'number' ? entry : entry.entryOfs)
  }

  /** Target of a symlink: any bytes but NUL, at least one. */
  readLink(record: Readonly<EntryRecord>): MaybePromise<Uint8Array> {
    const { contentOfs, size } = record
    if (record.kind !== KIND_SYMLINK) throw damage(this.meta.name, record.entryOfs, ITEM_ENTRY, 'not a symlink')
    const bytes = this.meta.peek(contentOfs, HEADER_SIZE + size + 1)
    if (bytes !== undefined) return decodeTarget(bytes.slice(), contentOfs, this.meta.name)
    return this.meta.read(contentOfs, HEADER_SIZE + size + 1).then((read) => decodeTarget(read, contentOfs, this.meta.name))
  }

  #missingPayload(record: Readonly<EntryRecord>): Error {
    const { name } = this.meta
    if (this.version !== 2) return damage(name, record.itemEnd, ITEM_PAYLOAD_REF, 'a reference in an archive without payload stream')
    return new UnsupportedError(`${name}: payload archive not attached`, { feature: 'content without payload archive', stream: name })
  }
}

/** A whole SYMLINK item. */
function decodeTarget(item: Uint8Array, offset: number, stream: string): Uint8Array {
  const target = item.subarray(HEADER_SIZE, item.length - 1)
  if (item[item.length - 1] !== 0) throw damage(stream, offset, ITEM_SYMLINK, 'the target does not end in NUL')
  if (target.length === 0) throw damage(stream, offset, ITEM_SYMLINK, 'the target is empty')
  if (target.includes(0)) throw damage(stream, offset, ITEM_SYMLINK, 'NUL inside the target')
  return target
}

/** FORMAT_VERSION and PRELUDE, if they are there; their headers only. */
async function readOpening(meta: ReadAt): Promise<Opening> {
  const { name } = meta
  const head = viewOf(await meta.read(0, Math.min(MIN_ARCHIVE, meta.size)))
  const first = itemOf(head.getInt32(0, true), head.getInt32(4, true))
  if (first === ITEM_ENTRY || first === ITEM_ENTRY_V1) return { version: 1, preludeOfs: 0, preludeSize: 0, rootEntryOfs: 0 }
  if (first !== ITEM_FORMAT_VERSION) throw damage(name, 0, 'archive', 'this is not a pxar archive')
  const full = peekSize(head, 8)
  if (full !== FORMAT_VERSION_SIZE) throw damage(name, 0, ITEM_FORMAT_VERSION, `size ${full}`, FORMAT_VERSION_SIZE, full)
  const version = peekSize(head, HEADER_SIZE)
  if (version !== 1 && version !== 2) {
    throw new UnsupportedError(`${name}: unknown format version ${version}`, { feature: 'pxar format version', version, stream: name, offset: 0 })
  }
  const at = FORMAT_VERSION_SIZE
  if (itemOf(head.getInt32(at, true), head.getInt32(at + 4, true)) !== ITEM_PRELUDE) {
    return { version, preludeOfs: 0, preludeSize: 0, rootEntryOfs: at }
  }
  const preludeFull = peekSize(head, at + 8)
  if (preludeFull < HEADER_SIZE) throw damage(name, at, ITEM_PRELUDE, `size ${preludeFull}`, 'at least 16', preludeFull)
  if (at + preludeFull + MIN_ARCHIVE > meta.size) throw cutOff(name, at, ITEM_PRELUDE, at + preludeFull + MIN_ARCHIVE, meta.size)
  return { version, preludeOfs: at, preludeSize: preludeFull - HEADER_SIZE, rootEntryOfs: at + preludeFull }
}

import { setImmediate as nextTurn } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import { equalBytes, escapeName } from '../bytes/names.js'
import { NodeError } from '../errors/errors.js'
import {
  createRecord,
  FLAG_ACL,
  FLAG_FCAPS,
  FLAG_PAYLOAD_REF,
  FLAG_XATTR,
  KIND_DIR,
  KIND_FILE,
  type EntryRecord,
} from '../pxar-decode/entry-record.js'
import type { DirTable } from '../pxar-decode/dir-table.js'
import type { PxarArchive } from '../pxar-decode/archive.js'
import { findPath } from '../pxar-decode/find-path.js'
import type { Xattr } from '../pxar-decode/attributes.js'
import { hasAttributes } from '../pxar-decode/has-attributes.js'
import { Allowance } from './allowance.js'
import { DirAhead } from './dir-ahead.js'
import { ArchiveFiles } from './archive-files.js'
import type { Directory, DirTables } from './dir-tables.js'
import { emitDots } from './dots.js'
import { countBlocks, MIN_SPARSE } from './extents.js'
import type { LinkCounter } from './link-counter.js'
import type { SnapshotGuard } from './snapshot-hold.js'
import { RowTables } from './row-tables.js'
import { isDirectory, nodeHi, nodeLo, offsetOf } from './node-id.js'
import {
  emptyAttr,
  FOREVER,
  type Attr,
  type Content,
  type DirFiles,
  type DirSink,
  type Entry,
  type MaybePromise,
  type NodeId,
  type NodePlace,
} from './tree.js'

/** Contents and parents remembered for one archive; both can be found again. */
const CONTENTS = 4096
const PARENTS = 65_536

/** Directories somebody may be reading through. */
const LISTED = 16

/** The way to the next directory leads through contents that nobody may ask for. */
const CLASSIC_AHEAD = { ahead: 4, evidence: 3 }

/** What one question for extended attributes pays for, in bytes decoded, where a pass over all contents may spare the others. */
const QUESTION_WORTH = 64 * 1024

/** Entries looked through in one go, about a millisecond. */
const SLICE = 16_384

/** Where a directory was found. */
interface Parent {
  /** End of the table of the directory it is in. */
  readonly end: number
  /** Its own ENTRY header, as its row there says. */
  readonly entryOfs: number
}

/** What the archive reports about entries it cannot show. */
export type ProblemReport = (error: unknown, archive: string, name?: Uint8Array, folder?: string) => void

/**
 * The nodes of one open archive. Its root directory belongs to the tree above, which passes
 * the root's id along; everything below is found from node numbers alone.
 */
export class ArchiveNodes {
  readonly number: number
  readonly pxar: PxarArchive
  readonly links: LinkCounter
  /** References the kernel holds on nodes of this archive. */
  references = 0
  /** What is held while something of it is used. */
  guard: SnapshotGuard | undefined
  readonly #name: string
  readonly #tables: DirTables
  readonly #report: ProblemReport
  readonly #reported = new Set<number>()
  readonly #ahead: DirAhead
  readonly #contents = new LRUCache<number, Content>({ max: CONTENTS })
  readonly #rows: RowTables
  /** Directories listed last, the latest first. */
  #listed: readonly number[] = []
  readonly #parents = new LRUCache<number, Parent>({ max: PARENTS })
  readonly #record: EntryRecord = createRecord()
  readonly #closed = new AbortController()
  readonly #questions = new Allowance()
  #plain: boolean | undefined

  constructor(
    name: string,
    number: number,
    pxar: PxarArchive,
    links: LinkCounter,
    tables: DirTables,
    report: ProblemReport,
  ) {
    this.#name = name
    this.number = number
    this.pxar = pxar
    this.links = links
    this.#tables = tables
    this.#report = report
    this.#ahead = new DirAhead(async (end) => this.#table(end), pxar.split ? {} : CLASSIC_AHEAD)
    this.#rows = new RowTables(pxar, (dirEnd) => this.#parents.get(dirEnd)?.entryOfs)
  }

  /** Attributes of the archive's root directory under the id the tree gives it. */
  rootAttr(id: NodeId): Attr {
    const attr = emptyAttr()
    this.#fill(this.pxar.root, undefined, id.hi, id.lo, attr)
    return attr
  }

  /** Attributes of a directory shown under another id, as the root of a mount is. */
  async dirAttr(dirEnd: number, id: NodeId): Promise<Attr> {
    return this.#attr(await this.pxar.readDirEntry(dirEnd), id)
  }

  lookup(dirEnd: number, name: Uint8Array): MaybePromise<Entry | undefined> {
    const table = this.#tables.known(this.number, dirEnd)
    const wait = this.links.wait()
    if (table === undefined || wait !== undefined) return this.#lookupLater(dirEnd, name, wait)
    return this.#find(table, dirEnd, name)
  }

  list(dirEnd: number, self: NodeId, parent: NodeId, cookie: number, sink: DirSink): MaybePromise<void> {
    const table = this.#table(dirEnd)
    const wait = this.links.wait()
    if (table instanceof Promise || wait !== undefined) {
      return this.#listLater(table, wait, dirEnd, self, parent, cookie, sink)
    }
    this.#emit(table, dirEnd, self, parent, cookie, sink)
  }

  /** The files of a directory, if it is decoded. */
  filesIn(dirEnd: number): DirFiles | undefined {
    return this.#tables.peek(this.number, dirEnd) === undefined ? undefined : this.#files(dirEnd)
  }

  /**
   * The files of the directory that the file at `fileOfs` is in. In a classic archive only if that directory was
   * listed: to find another would mean to read the contents of all those around it.
   */
  async filesBeside(fileOfs: number): Promise<DirFiles | undefined> {
    if (!this.pxar.split) return this.#filesListedWith(fileOfs)
    let end = this.pxar.rootEnd
    for (;;) {
      const { table } = await this.#table(end)
      const i = table.indexCovering(fileOfs)
      if (i < 0) return undefined
      if (table.kindAt(i) !== KIND_DIR) return table.fileOfsAt(i) === fileOfs ? this.#files(end) : undefined
      const child = table.dirEndAt(i)
      if (!(fileOfs < child && child < end)) return undefined
      end = child
    }
  }

  #filesListedWith(fileOfs: number): DirFiles | undefined {
    const id = { hi: nodeHi(this.number, false, fileOfs), lo: nodeLo(fileOfs) }
    return this.#listed.map((end) => this.#files(end)).find((files) => files.indexOf(id) >= 0)
  }

  getattr(id: NodeId): MaybePromise<Attr> {
    if (isDirectory(id.hi)) return this.pxar.readDirEntry(offsetOf(id)).then((record) => this.#attr(record, id))
    const wait = this.links.wait()
    if (wait === undefined && this.pxar.peekEntry(offsetOf(id), this.#record) && !mayBeSparse(this.#record)) {
      return this.#attr(this.#record, id)
    }
    return this.#getattrLater(id, wait)
  }

  content(id: NodeId): MaybePromise<Content> {
    const offset = offsetOf(id)
    const known = this.#contents.get(offset)
    if (known !== undefined) return known
    if (isDirectory(id.hi)) throw new NodeError('EISDIR')
    if (this.pxar.peekEntry(offset, this.#record)) return this.#contentOf(offset, this.#record)
    return this.pxar.readEntry(offset).then((record) => this.#contentOf(offset, record))
  }

  /** Where the node is in this archive. */
  placeOf(id: NodeId): Promise<NodePlace> {
    return this.#placeOf(offsetOf(id), isDirectory(id.hi))
  }

  async #placeOf(place: number, directory: boolean): Promise<NodePlace> {
    const openDir = async (end: number): Promise<DirTable> => (await this.#table(end)).table
    const { names, complete } = await findPath(this.pxar, place, directory, openDir)
    const parts = names.map(escapeName)
    return { ...(this.#name === '' ? {} : { archive: this.#name }), file: `/${(complete ? parts : [...parts, '...']).join('/')}` }
  }

  async readlink(id: NodeId): Promise<Uint8Array> {
    return this.pxar.readLink(await this.#entry(id))
  }

  /** Extended attributes of an entry, ACLs and capabilities among them. */
  async attributesOf(record: EntryRecord): Promise<readonly Xattr[]> {
    return (record.flags & (FLAG_XATTR | FLAG_ACL | FLAG_FCAPS)) === 0 ? [] : this.pxar.attributes(record.entryOfs)
  }

  getxattr(id: NodeId, name: Uint8Array): MaybePromise<Uint8Array | undefined> {
    if (this.#hasNone(id)) return undefined
    return this.#attributes(id).then((all) => all.find((attribute) => equalBytes(attribute.name, name))?.value)
  }

  listxattr(id: NodeId): MaybePromise<Uint8Array[]> {
    if (this.#hasNone(id)) return []
    return this.#attributes(id).then((all) => all.map((attribute) => attribute.name))
  }

  /** End of the parent's table, where it is known; undefined: ask the kernel, it knows. */
  parentOf(dirEnd: number): number | undefined {
    return this.#parents.get(dirEnd)?.end
  }

  /**
   * True once it is known that nothing in the archive has extended attributes. The first call begins to find out. In a
   * classic archive, whose contents have to be read for that, this goes on as far as it has been asked for.
   */
  get isPlain(): boolean {
    if (this.#plain === undefined) {
      this.#plain = false
      const pace = this.pxar.split ? {} : { pace: (bytes: number) => this.#questions.take(bytes) }
      hasAttributes(this.pxar, { signal: this.#closed.signal, ...pace }).then(
        (found) => (this.#plain = !found),
        // Damage is told to whoever comes across it.
        () => undefined,
      )
    }
    if (!this.#plain) this.#questions.earn(QUESTION_WORTH)
    return this.#plain
  }

  /** Makes ready for a walk from the root of the archive. */
  warm(): void {
    this.links.start()
    this.#ahead.listed([this.pxar.rootEnd])
  }

  close(): void {
    this.links.stop()
    this.#ahead.stop()
    this.#closed.abort()
  }

  #table(dirEnd: number): Directory | Promise<Directory> {
    return this.#tables.get(this.number, dirEnd, () => this.#decode(dirEnd))
  }

  async #decode(dirEnd: number): Promise<Directory> {
    const table = await this.pxar.openDir(dirEnd, this.#parents.get(dirEnd)?.entryOfs)
    if (table.problemCount > 0 && !this.#reported.has(dirEnd)) {
      this.#reported.add(dirEnd)
      await this.#tell(table, dirEnd)
    }
    const blocks = new Map<number, number>()
    const children: number[] = []
    const record = createRecord()
    for (let i = 0; i < table.count; i++) {
      // Other requests get their turn.
      if (i % SLICE === SLICE - 1) await nextTurn()
      table.entryAt(i, record)
      if (record.kind === KIND_DIR) children.push(record.end)
      else if (mayBeSparse(record)) blocks.set(i, await this.#countBlocks(record))
    }
    return { table, blocks, children }
  }

  /** Names what a directory lacks, with the path of the directory in the archive. */
  async #tell(table: DirTable, dirEnd: number): Promise<void> {
    const { file } = await this.#placeOf(dirEnd, true)
    for (const problem of table.problems) this.#report(problem.error, this.#name, problem.name, file)
  }

  async #lookupLater(dirEnd: number, name: Uint8Array, wait: Promise<void> | undefined): Promise<Entry | undefined> {
    if (!this.pxar.split && this.#tables.peek(this.number, dirEnd) === undefined) {
      const [record] = await Promise.all([this.#rows.find(dirEnd, name), wait])
      if (record !== undefined) return this.#entryOf(record, mayBeSparse(record) ? await this.#countBlocks(record) : undefined, dirEnd)
    }
    const [found] = await Promise.all([this.#table(dirEnd), wait])
    return this.#find(found, dirEnd, name)
  }

  async #listLater(
    directory: Directory | Promise<Directory>,
    wait: Promise<void> | undefined,
    dirEnd: number,
    self: NodeId,
    parent: NodeId,
    cookie: number,
    sink: DirSink,
  ): Promise<void> {
    const [found] = await Promise.all([directory, wait])
    this.#emit(found, dirEnd, self, parent, cookie, sink)
  }

  async #getattrLater(id: NodeId, wait: Promise<void> | undefined): Promise<Attr> {
    await wait
    const record = await this.pxar.readEntry(offsetOf(id))
    return this.#attr(record, id, mayBeSparse(record) ? await this.#countBlocks(record) : undefined)
  }

  #find({ table, blocks }: Directory, dirEnd: number, name: Uint8Array): Entry | undefined {
    const i = table.find(name)
    if (i < 0) {
      // The name may be one of those that could not be read: lost is not the same as never there.
      if (table.unreadable > 0) throw lostEntries(table)
      return undefined
    }
    table.entryAt(i, this.#record)
    return this.#entryOf(this.#record, blocks.get(i), dirEnd)
  }

  #entryOf(record: EntryRecord, blocks: number | undefined, dirEnd: number): Entry {
    const entry: Entry = { idHi: 0, idLo: 0, attr: emptyAttr(), entryTtl: FOREVER }
    this.#fillEntry(record, blocks, dirEnd, entry)
    return entry
  }

  #emit(directory: Directory, dirEnd: number, self: NodeId, parent: NodeId, cookie: number, sink: DirSink): void {
    const { table, blocks } = directory
    if (cookie === 0) this.#entered(dirEnd)
    const entry: Entry = { idHi: 0, idLo: 0, attr: emptyAttr(), entryTtl: FOREVER }
    if (cookie < 2 && !emitDots(self, parent, cookie, entry, sink)) return
    const record = this.#record
    for (let i = Math.max(0, cookie - 2); i < table.count; i++) {
      table.entryAt(i, record)
      this.#fillEntry(record, blocks.get(i), dirEnd, entry)
      if (!sink.add(table.names, table.nameStart(i), table.nameEnd(i), i + 3, entry)) return
    }
    // What was read has been listed; an end without an error would say that this was all.
    if (table.unreadable > 0 && cookie >= table.count + 2) throw lostEntries(table)
    // The kernel asks once more, behind the last record, before it believes that this was all.
    if (cookie < table.count + 2) this.#ahead.listed(directory.children)
  }

  #entered(dirEnd: number): void {
    this.#ahead.entered(dirEnd)
    if (!this.pxar.split) this.#listed = [dirEnd, ...this.#listed.filter((end) => end !== dirEnd)].slice(0, LISTED)
  }

  #files(dirEnd: number): DirFiles {
    return new ArchiveFiles(this.pxar, this.number, dirEnd, () => this.#tables.peek(this.number, dirEnd)?.table)
  }

  #fillEntry(record: EntryRecord, blocks: number | undefined, dirEnd: number, entry: Entry): void {
    const directory = record.kind === KIND_DIR
    const offset = directory ? record.end : record.fileOfs
    entry.idHi = nodeHi(this.number, directory, offset)
    entry.idLo = nodeLo(offset)
    if (directory && !this.#parents.has(offset)) this.#parents.set(offset, { end: dirEnd, entryOfs: record.entryOfs })
    this.#fill(record, blocks, entry.idHi, entry.idLo, entry.attr)
  }

  #attr(record: EntryRecord, id: NodeId, blocks?: number): Attr {
    const attr = emptyAttr()
    this.#fill(record, blocks, id.hi, id.lo, attr)
    return attr
  }

  #fill(record: EntryRecord, blocks: number | undefined, hi: number, lo: number, attr: Attr): void {
    const file = record.kind === KIND_FILE
    const directory = record.kind === KIND_DIR
    attr.inoHi = hi
    attr.inoLo = lo
    attr.mode = record.mode
    attr.uid = record.uid
    attr.gid = record.gid
    attr.major = record.major
    attr.minor = record.minor
    attr.mtimeSec = record.mtimeSec
    attr.mtimeNsec = record.mtimeNsec
    attr.size = directory ? 4096 : record.size
    attr.blocks = file ? (blocks ?? Math.ceil(record.size / 512)) : 0
    // 1 tells tree walkers that the number of sub-directories is not known, as on btrfs.
    attr.nlink = file ? this.links.count(record.fileOfs) : 1
    attr.ttl = file ? this.links.ttl : FOREVER
  }

  async #countBlocks(record: EntryRecord): Promise<number> {
    const stream = (record.flags & FLAG_PAYLOAD_REF) === 0 ? this.pxar.meta : this.pxar.payload
    try {
      await stream?.prepare?.()
    } catch {
      // Contents that cannot be opened are no reason not to list the name.
      return Math.ceil(record.size / 512)
    }
    return stream === undefined ? Math.ceil(record.size / 512) : countBlocks(stream, record.contentOfs + 16, record.size)
  }

  #contentOf(offset: number, record: EntryRecord): MaybePromise<Content> {
    if (record.kind !== KIND_FILE) throw new NodeError('EINVAL')
    const content = this.pxar.contentOf(record)
    if (!(content instanceof Promise)) {
      this.#contents.set(offset, content)
      return content
    }
    return content.then((verified) => {
      this.#contents.set(offset, verified)
      return verified
    })
  }

  /** True when the entry is at hand and has no attributes: the answer to nearly every question. */
  #hasNone(id: NodeId): boolean {
    if (isDirectory(id.hi) || !this.pxar.peekEntry(offsetOf(id), this.#record)) return false
    return (this.#record.flags & (FLAG_XATTR | FLAG_ACL | FLAG_FCAPS)) === 0
  }

  async #attributes(id: NodeId): Promise<readonly Xattr[]> {
    return this.attributesOf(await this.#entry(id))
  }

  #entry(id: NodeId): MaybePromise<EntryRecord> {
    return isDirectory(id.hi) ? this.pxar.readDirEntry(offsetOf(id)) : this.pxar.readEntry(offsetOf(id))
  }
}

function mayBeSparse(record: EntryRecord): boolean {
  return record.kind === KIND_FILE && record.size >= MIN_SPARSE
}

function lostEntries(table: DirTable): unknown {
  return table.problems.find(({ error }) => error.cause !== undefined)?.error ?? table.problems[0]!.error
}

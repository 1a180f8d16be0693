import { LRUCache } from 'lru-cache'
import { equalBytes } from '../bytes/names.js'
import { NodeError } from '../errors/errors.js'
import {
  createRecord,
  FLAG_ACL,
  FLAG_FCAPS,
  FLAG_XATTR,
  KIND_DIR,
  KIND_FILE,
  type EntryRecord,
} from '../pxar-decode/entry-record.js'
import type { DirTable } from '../pxar-decode/dir-table.js'
import type { PxarArchive } from '../pxar-decode/archive.js'
import type { Xattr } from '../pxar-decode/attributes.js'
import { hasAttributes } from '../pxar-decode/has-attributes.js'
import { Allowance } from './allowance.js'
import { ArchiveDirs, type ProblemReport } from './archive-dirs.js'
import { knownBlocks, mayBeSparse } from './file-blocks.js'
import type { Directory, DirTables } from './dir-tables.js'
import { emitDots } from './dots.js'
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

/** Contents remembered for one archive; they can be found again. */
const CONTENTS = 4096

/** What one question for extended attributes pays for, in bytes decoded, where a pass over all contents may spare the others. */
const QUESTION_WORTH = 64 * 1024

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
  readonly #dirs: ArchiveDirs
  readonly #contents = new LRUCache<number, Content>({ max: CONTENTS })
  readonly #rows: RowTables
  readonly #record: EntryRecord = createRecord()
  readonly #closed = new AbortController()
  readonly #questions = new Allowance()
  #plain: boolean | undefined

  constructor(name: string, number: number, pxar: PxarArchive, links: LinkCounter, tables: DirTables, report: ProblemReport) {
    this.number = number
    this.pxar = pxar
    this.links = links
    this.#dirs = new ArchiveDirs({ name, number, pxar, tables, report })
    this.#rows = new RowTables(pxar, (dirEnd) => this.#dirs.entryOfsOf(dirEnd))
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
    const table = this.#dirs.known(dirEnd)
    const wait = this.links.wait()
    if (table === undefined || wait !== undefined) return this.#lookupLater(dirEnd, name, wait)
    return this.#find(table, dirEnd, name)
  }

  list(dirEnd: number, self: NodeId, parent: NodeId, cookie: number, sink: DirSink): MaybePromise<void> {
    const table = this.#dirs.get(dirEnd)
    const wait = this.links.wait()
    if (table instanceof Promise || wait !== undefined) {
      return this.#listLater(table, wait, dirEnd, self, parent, cookie, sink)
    }
    this.#emit(table, dirEnd, self, parent, cookie, sink)
  }

  /** The files of a directory, if it is decoded. */
  filesIn(dirEnd: number): DirFiles | undefined {
    return this.#dirs.filesIn(dirEnd)
  }

  /** The files of the directory that the file at `fileOfs` is in, where it can be told without reading contents. */
  filesBeside(fileOfs: number): Promise<DirFiles | undefined> {
    return this.#dirs.filesBeside(fileOfs)
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
    return this.#dirs.placeOf(offsetOf(id), isDirectory(id.hi))
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
    return this.#dirs.parentOf(dirEnd)
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
    this.#dirs.warm()
  }

  close(): void {
    this.links.stop()
    this.#dirs.stop()
    this.#closed.abort()
  }

  async #lookupLater(dirEnd: number, name: Uint8Array, wait: Promise<void> | undefined): Promise<Entry | undefined> {
    if (!this.pxar.split && this.#dirs.peek(dirEnd) === undefined) {
      const [record] = await Promise.all([this.#rows.find(dirEnd, name), wait])
      if (record !== undefined) return this.#entryOf(record, await knownBlocks(this.pxar, record), dirEnd)
    }
    const [found] = await Promise.all([this.#dirs.get(dirEnd), wait])
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
    return this.#attr(record, id, await knownBlocks(this.pxar, record))
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
    if (cookie === 0) this.#dirs.entered(dirEnd)
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
    if (cookie < table.count + 2) this.#dirs.listed(directory)
  }

  #fillEntry(record: EntryRecord, blocks: number | undefined, dirEnd: number, entry: Entry): void {
    const directory = record.kind === KIND_DIR
    const offset = directory ? record.end : record.fileOfs
    entry.idHi = nodeHi(this.number, directory, offset)
    entry.idLo = nodeLo(offset)
    if (directory) this.#dirs.noteParent(offset, dirEnd, record.entryOfs)
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

function lostEntries(table: DirTable): unknown {
  return table.problems.find(({ error }) => error.cause !== undefined)?.error ?? table.problems[0]!.error
}

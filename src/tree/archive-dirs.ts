import { setImmediate as nextTurn } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import { escapeName } from '../bytes/names.js'
import type { PxarArchive } from '../pxar-decode/archive.js'
import type { DirTable } from '../pxar-decode/dir-table.js'
import { createRecord, KIND_DIR } from '../pxar-decode/entry-record.js'
import { findPath } from '../pxar-decode/find-path.js'
import { ArchiveFiles } from './archive-files.js'
import { DirAhead } from './dir-ahead.js'
import type { Directory, DirTables } from './dir-tables.js'
import { knownBlocks, mayBeSparse } from './file-blocks.js'
import { nodeHi, nodeLo } from './node-id.js'
import type { DirFiles, NodePlace } from './tree.js'

/** What the archive reports about entries it cannot show. */
export type ProblemReport = (error: unknown, archive: string, name?: Uint8Array, folder?: string) => void

/** Parents remembered for one archive; they can be found again. */
const PARENTS = 65_536

/** Directories somebody may be reading through. */
const LISTED = 16

/** The way to the next directory leads through contents that nobody may ask for. */
const CLASSIC_AHEAD = { ahead: 4, evidence: 3 }

/** Entries looked through in one go, about a millisecond. */
const SLICE = 16_384

/** Where a directory was found. */
interface Parent {
  /** End of the table of the directory it is in. */
  readonly end: number
  /** Its own ENTRY header, as its row there says. */
  readonly entryOfs: number
}

export interface ArchiveDirsParts {
  readonly name: string
  readonly number: number
  readonly pxar: PxarArchive
  readonly tables: DirTables
  readonly report: ProblemReport
}

/**
 * The directories of one open archive, by the ends of their tables: decoded when they are asked for or a
 * walk comes near them, told of once when something of them is lost.
 */
export class ArchiveDirs {
  readonly #parts: ArchiveDirsParts
  readonly #reported = new Set<number>()
  readonly #ahead: DirAhead
  /** Directories listed last, the latest first. */
  #listed: readonly number[] = []
  readonly #parents = new LRUCache<number, Parent>({ max: PARENTS })

  constructor(parts: ArchiveDirsParts) {
    this.#parts = parts
    this.#ahead = new DirAhead(async (end) => this.get(end), parts.pxar.split ? {} : CLASSIC_AHEAD)
  }

  get(dirEnd: number): Directory | Promise<Directory> {
    const { tables, number } = this.#parts
    return tables.get(number, dirEnd, () => this.#decode(dirEnd))
  }

  /** The directory if it is decoded. */
  known(dirEnd: number): Directory | undefined {
    return this.#parts.tables.known(this.#parts.number, dirEnd)
  }

  /** The same, not counted as used. */
  peek(dirEnd: number): Directory | undefined {
    return this.#parts.tables.peek(this.#parts.number, dirEnd)
  }

  /** Somebody began to list a directory. */
  entered(dirEnd: number): void {
    this.#ahead.entered(dirEnd)
    if (!this.#parts.pxar.split) this.#listed = [dirEnd, ...this.#listed.filter((end) => end !== dirEnd)].slice(0, LISTED)
  }

  /** Somebody has listed a directory to its end. */
  listed({ children }: Directory): void {
    this.#ahead.listed(children)
  }

  /** A directory was seen in another. */
  noteParent(dirEnd: number, parentEnd: number, entryOfs: number): void {
    if (!this.#parents.has(dirEnd)) this.#parents.set(dirEnd, { end: parentEnd, entryOfs })
  }

  /** End of the parent's table, where it is known. */
  parentOf(dirEnd: number): number | undefined {
    return this.#parents.get(dirEnd)?.end
  }

  /** Place of the directory's own ENTRY, where it is known. */
  entryOfsOf(dirEnd: number): number | undefined {
    return this.#parents.get(dirEnd)?.entryOfs
  }

  /** The files of a directory, if it is decoded. */
  filesIn(dirEnd: number): DirFiles | undefined {
    return this.peek(dirEnd) === undefined ? undefined : this.#files(dirEnd)
  }

  /**
   * The files of the directory that the file at `fileOfs` is in. In a classic archive only if that directory was
   * listed: to find another would mean to read the contents of all those around it.
   */
  async filesBeside(fileOfs: number): Promise<DirFiles | undefined> {
    const { pxar } = this.#parts
    if (!pxar.split) return this.#filesListedWith(fileOfs)
    let end = pxar.rootEnd
    for (;;) {
      const { table } = await this.get(end)
      const i = table.indexCovering(fileOfs)
      if (i < 0) return undefined
      if (table.kindAt(i) !== KIND_DIR) return table.fileOfsAt(i) === fileOfs ? this.#files(end) : undefined
      const child = table.dirEndAt(i)
      if (!(fileOfs < child && child < end)) return undefined
      end = child
    }
  }

  /** Path of the node at `place`. */
  async placeOf(place: number, directory: boolean): Promise<NodePlace> {
    const { name, pxar } = this.#parts
    const openDir = async (end: number): Promise<DirTable> => (await this.get(end)).table
    const { names, complete } = await findPath(pxar, place, directory, openDir)
    const parts = names.map(escapeName)
    return { ...(name === '' ? {} : { archive: name }), file: `/${(complete ? parts : [...parts, '...']).join('/')}` }
  }

  /** Makes ready for a walk from the root of the archive. */
  warm(): void {
    this.#ahead.listed([this.#parts.pxar.rootEnd])
  }

  stop(): void {
    this.#ahead.stop()
  }

  #files(dirEnd: number): DirFiles {
    return new ArchiveFiles(this.#parts.pxar, this.#parts.number, dirEnd, () => this.peek(dirEnd)?.table)
  }

  #filesListedWith(fileOfs: number): DirFiles | undefined {
    const id = { hi: nodeHi(this.#parts.number, false, fileOfs), lo: nodeLo(fileOfs) }
    return this.#listed.map((end) => this.#files(end)).find((files) => files.indexOf(id) >= 0)
  }

  async #decode(dirEnd: number): Promise<Directory> {
    const { pxar } = this.#parts
    const table = await pxar.openDir(dirEnd, this.entryOfsOf(dirEnd))
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
      const held = mayBeSparse(record) ? await knownBlocks(pxar, record) : undefined
      if (held !== undefined) blocks.set(i, held)
    }
    return { table, blocks, children }
  }

  /** Names what a directory lacks, with the path of the directory in the archive. */
  async #tell(table: DirTable, dirEnd: number): Promise<void> {
    const { file } = await this.placeOf(dirEnd, true)
    for (const problem of table.problems) this.#parts.report(problem.error, this.#parts.name, problem.name, file)
  }
}

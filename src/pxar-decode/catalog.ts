import { peekSize, viewOf } from '../bytes/le.js'
import { asBuffer } from '../bytes/names.js'
import type { ReadAt } from '../bytes/read-at.js'
import { UnsupportedError } from '../errors/errors.js'
import { cutOff, damage } from './damage.js'
import { TimeSlice } from './time-slice.js'
import { VarintCursor } from './varint.js'

/** First 8 bytes of the SHA-256 of "Proxmox Backup Catalog file v1.0". */
const MAGIC = Buffer.from('91fd60f9c46758d5', 'hex')
const MAGIC_SIZE = 8
/** Fixed-width offset of the root block, at the very end. */
const POINTER_SIZE = 8
/** Magic, an empty root block, the pointer. */
const MIN_CATALOG = MAGIC_SIZE + 2 + POINTER_SIZE
/** Type byte, length of the name and one byte of it. */
const MIN_ENTRY = 3
const MAX_NAME = 4095
/** Type byte, two lengths, the longest name, time. */
const MAX_ENTRY = 1 + 10 + MAX_NAME + 10 + 11
/** Bytes read at a time: of a block of unknown size, and of one that goes on. */
const FIRST_WINDOW = 8 * 1024
const WINDOW = 256 * 1024
const SLICE_MS = 1
const CLOCK_STEP = 256
/** Hard links collected of one archive. */
const MAX_LINKS = 1024 * 1024

/** Type bytes. */
export const CATALOG_DIR = 0x64
export const CATALOG_FILE = 0x66
export const CATALOG_HARDLINK = 0x68
const OTHER_TYPES = [0x6c, 0x62, 0x63, 0x70, 0x73]

/** A folder on the way to an entry; the one without `parent` is the root of the archive. */
export interface CatalogFolder {
  readonly name: Uint8Array
  readonly parent: CatalogFolder | undefined
}

/** One entry; valid during the visit only. */
export interface CatalogEntry {
  /** d, f, l, h, b, c, p or s, as a byte. */
  type: number
  /** The name is `bytes[nameStart, nameEnd)`. */
  bytes: Uint8Array
  nameStart: number
  nameEnd: number
  /** Files only; else 0. */
  size: number
  mtimeSec: number
  /** Directories: offset of their block; else 0. */
  block: number
}

export interface WalkOptions {
  readonly signal?: AbortSignal
  /** Longest work without giving the event loop a turn, in milliseconds. */
  readonly sliceMs?: number
}

/**
 * The catalog of a snapshot: names, kinds, sizes and times of its classic archives. It knows no
 * offsets inside an archive and is never the last word about one. Damage is FormatError or
 * TruncatedError.
 *
 *     catalog = magic block* root-block pointer(u64)       ; a block stands before the one that refers to it
 *     block   = varu(length) varu(count) entry*            ; length: count and entries
 *     entry   = type varu(length) name ( varu(distance) if d | varu(size) vari(mtime) if f | nothing )
 */
export class Catalog {
  readonly stream: ReadAt
  readonly #rootBlock: number

  private constructor(stream: ReadAt, rootBlock: number) {
    this.stream = stream
    this.#rootBlock = rootBlock
  }

  static async open(stream: ReadAt): Promise<Catalog> {
    const { name, size } = stream
    if (size < MIN_CATALOG) throw cutOff(name, 0, 'catalog', MIN_CATALOG, size)
    const magic = await stream.read(0, MAGIC_SIZE)
    if (!MAGIC.equals(magic)) throw damage(name, 0, 'catalog', 'this is not a catalog')
    const rootBlock = peekSize(viewOf(await stream.read(size - POINTER_SIZE, POINTER_SIZE)), 0)
    return new Catalog(stream, rootBlock)
  }

  /** The archives and their root blocks, in the order of the backup's command line. */
  async archives(options: WalkOptions = {}): Promise<{ name: Uint8Array; block: number }[]> {
    const found: { name: Uint8Array; block: number }[] = []
    const walk = new CatalogWalk(this.stream, options)
    await walk.readBlock(this.#rootBlock, (entry) => {
      if (entry.type === CATALOG_DIR) found.push({ name: entry.bytes.slice(entry.nameStart, entry.nameEnd), block: entry.block })
    })
    return found
  }

  /**
   * Visits every entry below the archive's root, each folder's entries together and in archive
   * order. False when the catalog does not have the archive (`root.pxar.didx`).
   */
  async walk(
    archiveName: string,
    visit: (entry: CatalogEntry, folder: CatalogFolder) => void,
    options: WalkOptions = {},
  ): Promise<boolean> {
    const wanted = Buffer.from(archiveName)
    const archive = (await this.archives(options)).find(({ name }) => wanted.equals(name))
    if (archive === undefined) return false
    const walk = new CatalogWalk(this.stream, options)
    const pending: { folder: CatalogFolder; block: number }[] = [
      { folder: { name: archive.name, parent: undefined }, block: archive.block },
    ]
    while (pending.length > 0) {
      const { folder, block } = pending.pop()!
      await walk.readBlock(block, (entry) => {
        visit(entry, folder)
        if (entry.type !== CATALOG_DIR) return
        pending.push({ folder: { name: entry.bytes.slice(entry.nameStart, entry.nameEnd), parent: folder }, block: entry.block })
      })
    }
    return true
  }

  /** Every name of the archive that is a hard link to an earlier one; undefined when it is not in the catalog. */
  async findHardLinks(
    archiveName: string,
    options: WalkOptions = {},
  ): Promise<{ folder: CatalogFolder; name: Uint8Array }[] | undefined> {
    const links: { folder: CatalogFolder; name: Uint8Array }[] = []
    const { name } = this.stream
    const known = await this.walk(
      archiveName,
      (entry, folder) => {
        if (entry.type !== CATALOG_HARDLINK) return
        if (links.length >= MAX_LINKS) {
          throw new UnsupportedError(`${name}: more than ${MAX_LINKS} hard links`, { feature: 'hard links of a catalog', stream: name })
        }
        links.push({ folder, name: entry.bytes.slice(entry.nameStart, entry.nameEnd) })
      },
      options,
    )
    return known ? links : undefined
  }
}

/** Reads blocks. All blocks together can hold no more entries than fit into the catalog. */
class CatalogWalk {
  readonly #stream: ReadAt
  readonly #slice: TimeSlice
  readonly #cursor: VarintCursor
  readonly #entry: CatalogEntry = { type: 0, bytes: new Uint8Array(0), nameStart: 0, nameEnd: 0, size: 0, mtimeSec: 0, block: 0 }
  #budget: number

  constructor(stream: ReadAt, options: WalkOptions) {
    this.#stream = stream
    this.#slice = new TimeSlice(options.sliceMs ?? SLICE_MS, options.signal)
    this.#cursor = new VarintCursor(stream.name)
    this.#budget = Math.floor(stream.size / MIN_ENTRY)
    this.#slice.check()
  }

  async readBlock(start: number, visit: (entry: CatalogEntry) => void): Promise<void> {
    const { name, size } = this.#stream
    const cursor = this.#cursor
    const last = size - POINTER_SIZE
    if (start < MAGIC_SIZE || start > last - 2) throw damage(name, start, 'catalog', 'no block can start here', `${MAGIC_SIZE}..${last - 2}`, start)
    await this.#fill(start, Math.min(start + FIRST_WINDOW, last))
    const length = cursor.unsigned()
    const end = cursor.base + cursor.pos + length
    if (length < 1 || end > last) throw cutOff(name, start, 'catalog block', end, last)
    cursor.limit = Math.min(cursor.limit, end - cursor.base)
    const count = cursor.unsigned()
    for (let i = 0; i < count; i++) {
      if (--this.#budget < 0) throw damage(name, start, 'catalog block', 'blocks are used more than once')
      const pos = cursor.base + cursor.pos
      if (cursor.limit - cursor.pos < MAX_ENTRY && cursor.base + cursor.limit < end) await this.#fill(pos, end)
      this.#decode(start)
      visit(this.#entry)
      if (this.#budget % CLOCK_STEP === 0 && (await this.#slice.pause()) && i + 1 < count) {
        await this.#fill(cursor.base + cursor.pos, end)
      }
    }
    if (cursor.base + cursor.pos !== end) throw damage(name, start, 'catalog block', 'its length is not that of its entries', end, cursor.base + cursor.pos)
  }

  /** Brings bytes from `pos` on into memory, no further than `end`. */
  async #fill(pos: number, end: number): Promise<void> {
    const cursor = this.#cursor
    const length = Math.min(WINDOW, end - pos)
    cursor.bytes = this.#stream.peek(pos, length) ?? (await this.#stream.read(pos, length))
    this.#slice.check()
    cursor.base = pos
    cursor.pos = 0
    cursor.limit = length
  }

  #decode(block: number): void {
    const cursor = this.#cursor
    const entry = this.#entry
    const { name } = this.#stream
    const offset = cursor.base + cursor.pos
    entry.type = cursor.byte()
    const length = cursor.unsigned()
    if (length > MAX_NAME || length > cursor.limit - cursor.pos) throw damage(name, offset, 'catalog', `a name of ${length} bytes`)
    entry.bytes = cursor.bytes
    entry.nameStart = cursor.pos
    entry.nameEnd = cursor.pos + length
    checkName(cursor.bytes, entry.nameStart, entry.nameEnd, name, offset)
    cursor.pos += length
    entry.size = entry.mtimeSec = entry.block = 0
    if (entry.type === CATALOG_FILE) {
      entry.size = cursor.unsigned()
      entry.mtimeSec = cursor.signed()
    } else if (entry.type === CATALOG_DIR) {
      const distance = cursor.unsigned()
      // Strictly backwards: blocks cannot form a circle.
      if (distance < 1 || distance > block - MAGIC_SIZE) throw damage(name, offset, 'catalog', 'a folder without block', `1..${block - MAGIC_SIZE}`, distance)
      entry.block = block - distance
    } else if (entry.type !== CATALOG_HARDLINK && !OTHER_TYPES.includes(entry.type)) {
      throw damage(name, offset, 'catalog', `unknown type ${entry.type}`)
    }
  }
}

function checkName(bytes: Uint8Array, start: number, end: number, stream: string, offset: number): void {
  const name = asBuffer(bytes.subarray(start, end))
  const text = name.length <= 2 ? name.toString('latin1') : ''
  if (name.length === 0 || text === '.' || text === '..' || name.includes(0) || name.includes(0x2f)) {
    throw damage(stream, offset, 'catalog', 'a name that no file can have')
  }
}

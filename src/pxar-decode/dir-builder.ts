import { UnsupportedError } from '../errors/errors.js'
import { damage } from './damage.js'
import { DirTable, NARROW, NARROW_COUNT, WIDE, WIDE_COUNT, compareBytes } from './dir-table.js'
import { FLAG_LINKED_NAME, KIND_BLOCK, KIND_CHAR, KIND_DIR, type EntryRecord } from './entry-record.js'
import { ITEM_FILENAME } from './format.js'
import type { ProblemList } from './problems.js'

/** Names of one directory together; far above what MAX_DIR_ENTRIES usual names take. */
const MAX_NAME_BYTES = 2 ** 30
const ENTRY_BYTES = WIDE_COUNT * 8 + NARROW_COUNT * 4
/** First guess of a name's length. */
const USUAL_NAME = 16

/** Collects the entries of one directory in archive order and packs them into a DirTable. */
export class DirBuilder {
  count = 0
  readonly #stream: string
  readonly #wide: Float64Array
  readonly #narrow: Uint32Array
  #names: Uint8Array
  #nameBytes = 0
  #ascending = true
  /** Entries given up after they were added; they stay in place until `finish`. */
  readonly #dropped = new Set<number>()

  constructor(stream: string, capacity: number) {
    this.#stream = stream
    const buffer = allocate(capacity * ENTRY_BYTES, stream)
    this.#wide = new Float64Array(buffer, 0, capacity * WIDE_COUNT)
    this.#narrow = new Uint32Array(buffer, capacity * WIDE_COUNT * 8, capacity * NARROW_COUNT)
    this.#names = new Uint8Array(allocate(capacity * USUAL_NAME, stream))
  }

  /** Copies bytes `[start, end)` of `view`, the name of the next entry. */
  stageName(view: DataView, start: number, end: number): void {
    const at = this.#nameBytes
    if (at + end - start > this.#names.length) this.#growNames(at + end - start)
    const names = this.#names
    for (let from = start, to = at; from < end; from++, to++) names[to] = view.getUint8(from)
  }

  /** Adds the entry whose name was staged last, `nameLength` bytes. */
  add(record: EntryRecord, nameLength: number): number {
    const i = this.count++
    const end = this.#nameBytes + nameLength
    if (this.#ascending && i > 0) {
      const before = i === 1 ? 0 : this.#narrow[(i - 2) * NARROW_COUNT + NARROW.nameEnd]!
      this.#ascending = compareBytes(this.#names, before, this.#nameBytes, this.#names, this.#nameBytes, end) < 0
    }
    this.#nameBytes = end
    this.#narrow[i * NARROW_COUNT + NARROW.nameEnd] = end
    this.#put(i, record, record.flags)
    return i
  }

  /** Gives entry `i` the record of the file it is a link to. */
  resolve(i: number, target: EntryRecord): void {
    this.#put(i, target, target.flags | FLAG_LINKED_NAME)
  }

  /** Takes entry `i` out again. */
  drop(i: number): void {
    this.#dropped.add(i)
  }

  /** A copy of the name of entry `i`. */
  nameOf(i: number): Uint8Array {
    return this.#names.slice(this.#startOf(i), this.#narrow[i * NARROW_COUNT + NARROW.nameEnd])
  }

  /** The finished table; the builder must not be used any more. */
  finish(self: EntryRecord, problems: ProblemList, unreadable: number): DirTable {
    let order: Uint32Array | undefined
    if (!this.#ascending) {
      order = this.#sortByName()
      this.#dropDuplicates(order, problems)
    }
    if (this.#dropped.size > 0) order = this.#compact(order)
    return new DirTable({
      self,
      count: this.count,
      wide: this.#wide,
      narrow: this.#narrow,
      names: this.#names.slice(0, this.#nameBytes),
      order,
      problems: problems.list,
      problemCount: problems.count,
      unreadable,
    })
  }

  #startOf(i: number): number {
    return i === 0 ? 0 : this.#narrow[(i - 1) * NARROW_COUNT + NARROW.nameEnd]!
  }

  #put(i: number, record: EntryRecord, flags: number): void {
    const w = i * WIDE_COUNT
    const n = i * NARROW_COUNT
    const wide = this.#wide
    const narrow = this.#narrow
    const { kind } = record
    const device = kind === KIND_CHAR || kind === KIND_BLOCK
    wide[w + WIDE.fileOfs] = record.fileOfs
    wide[w + WIDE.entryOfs] = record.entryOfs
    wide[w + WIDE.size] = device ? record.major : record.size
    wide[w + WIDE.content] = kind === KIND_DIR ? record.end : device ? record.minor : record.contentOfs
    wide[w + WIDE.mtimeSec] = record.mtimeSec
    wide[w + WIDE.itemEnd] = record.itemEnd
    narrow[n + NARROW.uid] = record.uid
    narrow[n + NARROW.gid] = record.gid
    narrow[n + NARROW.mtimeNsec] = record.mtimeNsec
    narrow[n + NARROW.bits] = record.mode | (kind << 16) | (flags << 24)
  }

  #growNames(needed: number): void {
    if (needed > MAX_NAME_BYTES) {
      throw new UnsupportedError(`${this.#stream}: the names of one directory take more than ${MAX_NAME_BYTES} bytes`, {
        feature: 'directory size', stream: this.#stream, expected: `at most ${MAX_NAME_BYTES}`,
      }) // prettier-ignore
    }
    const larger = new Uint8Array(allocate(Math.min(MAX_NAME_BYTES, Math.max(needed, this.#names.length * 2, 256)), this.#stream))
    larger.set(this.#names.subarray(0, this.#nameBytes))
    this.#names = larger
  }

  /** Archives are written in ascending order of names, so this is for the few that are not. */
  #sortByName(): Uint32Array {
    const order = new Uint32Array(this.count)
    for (let i = 0; i < order.length; i++) order[i] = i
    const names = this.#names
    const narrow = this.#narrow
    return order.sort((a, b) => {
      const aEnd = narrow[a * NARROW_COUNT + NARROW.nameEnd]!
      const bEnd = narrow[b * NARROW_COUNT + NARROW.nameEnd]!
      // Equal names: the one that comes first in the archive stays first, and is kept.
      return compareBytes(names, this.#startOf(a), aEnd, names, this.#startOf(b), bEnd) || a - b
    })
  }

  #dropDuplicates(order: Uint32Array, problems: ProblemList): void {
    let kept = -1
    for (const i of order) {
      if (this.#dropped.has(i)) continue
      if (kept >= 0 && this.#sameName(kept, i)) {
        const offset = this.#wide[i * WIDE_COUNT + WIDE.fileOfs]!
        problems.add(offset, damage(this.#stream, offset, ITEM_FILENAME, 'a second entry of the same name'), this.nameOf(i))
        this.#dropped.add(i)
      } else {
        kept = i
      }
    }
  }

  #sameName(a: number, b: number): boolean {
    const names = this.#names
    const aEnd = this.#narrow[a * NARROW_COUNT + NARROW.nameEnd]!
    const bEnd = this.#narrow[b * NARROW_COUNT + NARROW.nameEnd]!
    return compareBytes(names, this.#startOf(a), aEnd, names, this.#startOf(b), bEnd) === 0
  }

  /** Closes the gaps of dropped entries. */
  #compact(order: Uint32Array | undefined): Uint32Array | undefined {
    const moved = order === undefined ? undefined : new Uint32Array(this.count)
    let to = 0
    let nameTo = 0
    let start = 0
    for (let from = 0; from < this.count; from++) {
      const end = this.#narrow[from * NARROW_COUNT + NARROW.nameEnd]!
      if (!this.#dropped.has(from)) {
        this.#wide.copyWithin(to * WIDE_COUNT, from * WIDE_COUNT, (from + 1) * WIDE_COUNT)
        this.#narrow.copyWithin(to * NARROW_COUNT, from * NARROW_COUNT, (from + 1) * NARROW_COUNT)
        this.#names.copyWithin(nameTo, start, end)
        nameTo += end - start
        this.#narrow[to * NARROW_COUNT + NARROW.nameEnd] = nameTo
        if (moved !== undefined) moved[from] = to
        to++
      }
      start = end
    }
    const kept = order?.filter((i) => !this.#dropped.has(i)).map((i) => moved![i]!)
    this.count = to
    this.#nameBytes = nameTo
    return kept
  }
}

function allocate(bytes: number, stream: string): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes)
  } catch (cause) {
    throw new UnsupportedError(
      `${stream}: no memory for a directory that takes ${bytes} bytes`,
      { feature: 'directory size', stream, actual: bytes },
      { cause },
    )
  }
}

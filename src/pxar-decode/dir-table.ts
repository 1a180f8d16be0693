import type { EntryKind, EntryRecord } from './entry-record.js'
import { FLAG_LINKED_NAME, FLAG_PAYLOAD_REF, KIND_BLOCK, KIND_CHAR, KIND_DIR } from './entry-record.js'
import type { EntryProblem } from './problems.js'

/** Doubles of one entry. `content`: contentOfs; of a directory `end`; of a device the minor number (`size`: major). */
export const WIDE = { fileOfs: 0, entryOfs: 1, size: 2, content: 3, mtimeSec: 4, itemEnd: 5 } as const
export const WIDE_COUNT = 6
/** u32 of one entry. `nameEnd` counts in `names`; `bits` = mode | kind << 16 | flags << 24. */
export const NARROW = { uid: 0, gid: 1, mtimeNsec: 2, nameEnd: 3, bits: 4 } as const
export const NARROW_COUNT = 5

/** Objects around the data, roughly. */
const OVERHEAD = 512
const PROBLEM_COST = 1024

export interface DirTableParts {
  readonly self: EntryRecord
  readonly count: number
  readonly wide: Float64Array
  readonly narrow: Uint32Array
  readonly names: Uint8Array
  /** Indices in ascending order of names, when that is not the order of the entries. */
  readonly order: Uint32Array | undefined
  readonly problems: readonly EntryProblem[]
  readonly problemCount: number
  readonly unreadable: number
}

/**
 * One directory, decoded and packed; immutable. Entries are in archive order. Hard links are
 * resolved: such an entry is its target's record under another name, with FLAG_LINKED_NAME.
 */
export class DirTable {
  /** The directory itself. `fileOfs` is -1. */
  readonly self: Readonly<EntryRecord>
  readonly count: number
  /** All names, one behind the other. */
  readonly names: Uint8Array
  /** Entries that are not shown: the first of them, and how many there are. */
  readonly problems: readonly EntryProblem[]
  readonly problemCount: number
  /** How many of the problems are bytes that could not be read: another try may go better. */
  readonly unreadable: number
  /** Memory held, in bytes. */
  readonly byteLength: number
  readonly #wide: Float64Array
  readonly #narrow: Uint32Array
  readonly #order: Uint32Array | undefined

  constructor(parts: DirTableParts) {
    this.self = parts.self
    this.count = parts.count
    this.names = parts.names
    this.problems = parts.problems
    this.problemCount = parts.problemCount
    this.unreadable = parts.unreadable
    this.#wide = parts.wide
    this.#narrow = parts.narrow
    this.#order = parts.order
    this.byteLength =
      OVERHEAD + parts.problems.length * PROBLEM_COST + parts.wide.buffer.byteLength + parts.names.buffer.byteLength +
      (parts.order?.byteLength ?? 0) // prettier-ignore
  }

  nameStart(i: number): number {
    return i === 0 ? 0 : this.#narrow[(i - 1) * NARROW_COUNT + NARROW.nameEnd]!
  }

  nameEnd(i: number): number {
    return this.#narrow[i * NARROW_COUNT + NARROW.nameEnd]!
  }

  /** A view into `names`. */
  nameAt(i: number): Uint8Array {
    return this.names.subarray(this.nameStart(i), this.nameEnd(i))
  }

  kindAt(i: number): EntryKind {
    return ((this.#narrow[i * NARROW_COUNT + NARROW.bits]! >>> 16) & 0xff) as EntryKind
  }

  /** FILENAME header of the entry, of its target for a hard link. */
  fileOfsAt(i: number): number {
    return this.#wide[i * WIDE_COUNT + WIDE.fileOfs]!
  }

  /** Header of PAYLOAD of the file that is entry `i`. */
  contentAt(i: number): number {
    return this.#wide[i * WIDE_COUNT + WIDE.content]!
  }

  /** Bytes of the file that is entry `i`. */
  sizeAt(i: number): number {
    return this.#wide[i * WIDE_COUNT + WIDE.size]!
  }

  /** Is the content of entry `i` in the payload stream? */
  refersToPayload(i: number): boolean {
    return (this.#narrow[i * NARROW_COUNT + NARROW.bits]! >>> 24 & FLAG_PAYLOAD_REF) !== 0
  }

  /** End of the table of the directory that is entry `i`. */
  dirEndAt(i: number): number {
    return this.#wide[i * WIDE_COUNT + WIDE.content]!
  }

  /** Is entry `i` only another name of an earlier entry? */
  isLinkedName(i: number): boolean {
    return (this.#narrow[i * NARROW_COUNT + NARROW.bits]! >>> 24 & FLAG_LINKED_NAME) !== 0
  }

  /** The last entry at or before `offset`, linked names aside, or -1: the one there, or the directory it may be in. */
  indexCovering(offset: number): number {
    let low = 0
    let high = this.count - 1
    let found = -1
    while (low <= high) {
      const middle = (low + high) >>> 1
      // A linked name tells where its target is: go by the entry before it.
      let i = middle
      while (i >= low && this.isLinkedName(i)) i--
      if (i < low) {
        low = middle + 1
      } else if (this.fileOfsAt(i) <= offset) {
        found = i
        low = middle + 1
      } else {
        high = i - 1
      }
    }
    return found
  }

  /** Fills `out` with entry `i` (0 <= i < count). */
  entryAt(i: number, out: EntryRecord): void {
    const w = i * WIDE_COUNT
    const n = i * NARROW_COUNT
    const wide = this.#wide
    const narrow = this.#narrow
    const bits = narrow[n + NARROW.bits]!
    const kind = ((bits >>> 16) & 0xff) as EntryKind
    const size = wide[w + WIDE.size]!
    const content = wide[w + WIDE.content]!
    const device = kind === KIND_CHAR || kind === KIND_BLOCK
    out.kind = kind
    out.flags = bits >>> 24
    out.mode = bits & 0xffff
    out.fileOfs = wide[w + WIDE.fileOfs]!
    out.entryOfs = wide[w + WIDE.entryOfs]!
    // A FILENAME item is its header, the name and a NUL, with the ENTRY right behind.
    out.nameStart = out.fileOfs + 16
    out.nameEnd = out.entryOfs - 1
    out.uid = narrow[n + NARROW.uid]!
    out.gid = narrow[n + NARROW.gid]!
    out.mtimeSec = wide[w + WIDE.mtimeSec]!
    out.mtimeNsec = narrow[n + NARROW.mtimeNsec]!
    out.size = device ? 0 : size
    out.contentOfs = device || kind === KIND_DIR ? 0 : content
    out.major = device ? size : 0
    out.minor = device ? content : 0
    out.linkTarget = 0
    out.itemEnd = wide[w + WIDE.itemEnd]!
    out.end = kind === KIND_DIR ? content : 0
  }

  /** Index of the entry of that name, or -1. */
  find(name: Uint8Array): number {
    let low = 0
    let high = this.count - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      const i = this.#order === undefined ? middle : this.#order[middle]!
      const sign = this.#compare(i, name)
      if (sign === 0) return i
      if (sign < 0) low = middle + 1
      else high = middle - 1
    }
    return -1
  }

  /** Below 0 when the name of entry `i` comes before `name`. */
  #compare(i: number, name: Uint8Array): number {
    const start = this.nameStart(i)
    return compareBytes(this.names, start, this.nameEnd(i), name, 0, name.length)
  }
}

/** Byte order of `a[aStart, aEnd)` and `b[bStart, bEnd)`: negative, 0 or positive. */
export function compareBytes(a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number): number {
  const common = Math.min(aEnd - aStart, bEnd - bStart)
  for (let i = 0; i < common; i++) {
    const sign = a[aStart + i]! - b[bStart + i]!
    if (sign !== 0) return sign
  }
  return aEnd - aStart - (bEnd - bStart)
}

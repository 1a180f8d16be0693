import { hashName } from '#src/pxar-decode/siphash.js'
import type { ChunkedStream } from './chunked-stream.js'

/** Item types as two halves, low first. */
const TYPE = {
  formatVersion: [0xdf16a40d, 0x730f6c75],
  entry: [0xe588acef, 0xd5956474],
  filename: [0x063917b3, 0x16701121],
  payload: [0x0b7c1a25, 0x28147a1b],
  payloadRef: [0xc4ba977e, 0x419d3d6b],
  goodbye: [0x42d5731d, 0x2fec4fa6],
  payloadStart: [0x194a4ed2, 0x834c68c2],
  payloadTail: [0x984c81b5, 0x6c72b78b],
} as const
const TAIL_MARKER = [0x753e1555, 0xef5eed5b] as const

const HEADER_SIZE = 16
const ROW_SIZE = 24
const FILE_MODE = 0o100644
const FOLDER_MODE = 0o040755

export const MTIME_SEC = 1_700_000_000
const MTIME_NSEC = 123_456_789

interface Row {
  readonly hashLo: number
  readonly hashHi: number
  readonly start: number
  readonly extent: number
}

interface OpenFolder {
  /** Where its FILENAME stands; the root has none. */
  readonly start: number
  readonly entry: number
  readonly name: string
  readonly rows: Row[]
}

/**
 * Writes a pxar archive as a stream, split when there is a stream for the payload. Children of a
 * folder must come in the order of their names, as clients write them.
 */
export class PxarWriter {
  readonly #meta: ChunkedStream
  readonly #payload: ChunkedStream | undefined
  readonly #open: OpenFolder[] = []
  readonly #item = Buffer.alloc(HEADER_SIZE + 4096)
  readonly #view = new DataView(this.#item.buffer, this.#item.byteOffset)
  readonly #hash = new Int32Array(2)

  constructor(meta: ChunkedStream, payload?: ChunkedStream) {
    this.#meta = meta
    this.#payload = payload
    if (payload !== undefined) {
      this.#putSize(HEADER_SIZE, 2)
      this.#write(meta, TYPE.formatVersion, 8)
      this.#write(payload, TYPE.payloadStart, 0)
    }
    // The root counts from the very start, in front of the version too.
    this.#open.push({ start: 0, entry: 0, name: '', rows: [] })
    this.#putStat(FOLDER_MODE)
  }

  beginFolder(name: string): void {
    const start = this.#meta.position
    this.#putName(name)
    this.#open.push({ start, entry: this.#meta.position, name, rows: [] })
    this.#putStat(FOLDER_MODE)
  }

  endFolder(): void {
    const folder = this.#open.pop()!
    this.#putTable(folder)
    const parent = this.#open.at(-1)
    parent?.rows.push(this.#row(folder.name, folder.start, this.#meta.position - folder.start))
  }

  /** `pieces` must hand over `size` bytes. */
  file(name: string, size: number, pieces: (take: (piece: Buffer) => void) => void): void {
    const start = this.#meta.position
    this.#putName(name)
    this.#putStat(FILE_MODE)
    const content = this.#payload ?? this.#meta
    let nominal = 0
    if (this.#payload !== undefined) {
      this.#payload.fileStart()
      this.#putSize(HEADER_SIZE, this.#payload.position)
      this.#putSize(HEADER_SIZE + 8, size)
      this.#write(this.#meta, TYPE.payloadRef, 16)
      // Clients count the content into the row of a file they have just read.
      nominal = size
    }
    this.#write(content, TYPE.payload, 0, size)
    pieces((piece) => content.write(piece))
    this.#open.at(-1)!.rows.push(this.#row(name, start, this.#meta.position - start + nominal))
  }

  finish(): void {
    this.endFolder()
    if (this.#payload !== undefined) this.#write(this.#payload, TYPE.payloadTail, 0)
  }

  #row(name: string, start: number, extent: number): Row {
    const bytes = Buffer.from(name, 'latin1')
    hashName(bytes, 0, bytes.length, this.#hash)
    return { hashLo: this.#hash[0]! >>> 0, hashHi: this.#hash[1]! >>> 0, start, extent }
  }

  #putName(name: string): void {
    const length = this.#item.write(`${name}\0`, HEADER_SIZE, 'latin1')
    this.#write(this.#meta, TYPE.filename, length)
  }

  #putStat(mode: number): void {
    this.#item.fill(0, HEADER_SIZE, HEADER_SIZE + 40)
    this.#putSize(HEADER_SIZE, mode)
    this.#putSize(HEADER_SIZE + 24, MTIME_SEC)
    this.#view.setUint32(HEADER_SIZE + 32, MTIME_NSEC, true)
    this.#write(this.#meta, TYPE.entry, 40)
  }

  #putSize(at: number, value: number): void {
    this.#view.setUint32(at, value % 2 ** 32, true)
    this.#view.setUint32(at + 4, Math.floor(value / 2 ** 32), true)
  }

  /** Writes an item whose first `length` bytes of content stand in the scratch item; `follows` bytes come later. */
  #write(out: ChunkedStream, type: readonly [number, number], length: number, follows = 0): void {
    this.#view.setUint32(0, type[0], true)
    this.#view.setUint32(4, type[1], true)
    this.#putSize(8, HEADER_SIZE + length + follows)
    out.write(this.#item.subarray(0, HEADER_SIZE + length))
  }

  #putTable(folder: OpenFolder): void {
    const { rows } = folder
    const table = this.#meta.position
    const size = HEADER_SIZE + ROW_SIZE * (rows.length + 1)
    const out = Buffer.allocUnsafe(size)
    const view = new DataView(out.buffer, out.byteOffset, size)
    const put = (at: number, lo: number, hi: number): void => {
      view.setUint32(at, lo, true)
      view.setUint32(at + 4, hi, true)
    }
    const putSize = (at: number, value: number): void => put(at, value % 2 ** 32, Math.floor(value / 2 ** 32))
    put(0, TYPE.goodbye[0], TYPE.goodbye[1])
    putSize(8, size)
    rows.sort((a, b) => a.hashHi - b.hashHi || a.hashLo - b.hashLo)
    let next = 0
    // In-order walk of a complete binary tree, whose nodes lie in the table level by level.
    const place = (i: number): void => {
      if (i >= rows.length) return
      place(2 * i + 1)
      const row = rows[next++]!
      const at = HEADER_SIZE + i * ROW_SIZE
      put(at, row.hashLo, row.hashHi)
      putSize(at + 8, table - row.start)
      putSize(at + 16, row.extent)
      place(2 * i + 2)
    }
    place(0)
    const tail = size - ROW_SIZE
    put(tail, TAIL_MARKER[0], TAIL_MARKER[1])
    putSize(tail + 8, table - folder.entry)
    putSize(tail + 16, size)
    this.#meta.write(out)
  }
}

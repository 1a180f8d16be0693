import { createHash } from 'node:crypto'
import { keyOf } from '../bytes/names.js'
import { IntegrityError, TruncatedError } from '../errors/errors.js'
import { readFixedHeader, type FixedHeader, type FixedIndex } from './fixed-index.js'
import { DIGEST_SIZE, INDEX_HEADER_SIZE, indexError, MAX_INDEX_FILE_SIZE } from './index-format.js'
import { ZeroMap } from './zero-map.js'

/** Entries are read, checked and kept in pieces of this size: 2048 of them, 8 GiB of an image. */
const PAGE_BYTES = 64 * 1024
const PAGE_ENTRIES = PAGE_BYTES / DIGEST_SIZE
/** The pages used last stay in memory. */
const MAX_PAGES = 64
/** Bytes of SHA-256 that are kept of each page. */
const SEAL_BYTES = 16
/** The first pass reads this much at a time. */
const STEP_BYTES = 16 * PAGE_BYTES

/** Up to `length` bytes of the index file at `offset`, fewer only at its end. The result is the caller's. */
export type ReadPart = (offset: number, length: number) => Promise<Uint8Array>

/**
 * Opens a `.fidx` file of any size without keeping it: one pass over all entries computes their
 * checksum, notes which chunks are zeros (`zeroDigests(length)`: what such a chunk may have for a
 * digest) and seals each page; later a page is read when it is needed, and must be the same. Takes
 * 1/64 of the file in memory, and 4 MiB. Rejects as `parseFixedIndex` throws.
 */
export async function openPagedFixedIndex(
  read: ReadPart,
  name: string,
  zeroDigests: (length: number) => readonly Uint8Array[],
): Promise<FixedIndex> {
  const header = readFixedHeader(await read(0, INDEX_HEADER_SIZE), name)
  const end = header.fileSize
  if (end > MAX_INDEX_FILE_SIZE) throw indexError(name, 'image too large', 0, `an index of at most ${MAX_INDEX_FILE_SIZE} bytes`, end)
  const scan = new Scan(header, zeroDigests)
  let next = read(INDEX_HEADER_SIZE, STEP_BYTES)
  for (let at = INDEX_HEADER_SIZE; at < end; at += STEP_BYTES) {
    const bytes = await next
    const expected = Math.min(STEP_BYTES, end - at)
    if (bytes.length < expected) throw cut(name, end, at + bytes.length)
    // Storage works while this thread computes. Behind the last entry there must be nothing.
    next = read(at + STEP_BYTES, STEP_BYTES)
    next.catch(() => undefined)
    if (bytes.length > expected) throw tooLong(name, header)
    scan.add(bytes)
  }
  if ((await next).length > 0) throw tooLong(name, header)
  return new PagedFixedIndex(read, name, header, scan)
}

function tooLong(name: string, { fileSize, count }: FixedHeader): Error {
  return indexError(name, 'data behind the last entry', fileSize, `${fileSize} bytes for ${count} chunks`, 'more')
}

function cut(name: string, expected: number, actual: number): TruncatedError {
  return new TruncatedError(`${name}: truncated index, ${actual} of ${expected} bytes`, { stream: name, offset: actual, expected, actual })
}

/** What the first pass finds out. */
class Scan {
  readonly zeroMap: ZeroMap
  readonly seals: Uint8Array
  readonly #hash = createHash('sha256')
  readonly #zeros: readonly Uint8Array[]
  readonly #lastZeros: readonly Uint8Array[]
  #entry = 0
  #page = 0

  constructor({ count, size, chunkSize }: FixedHeader, zeroDigests: (length: number) => readonly Uint8Array[]) {
    this.zeroMap = new ZeroMap(count)
    this.seals = new Uint8Array(Math.ceil(count / PAGE_ENTRIES) * SEAL_BYTES)
    this.#zeros = zeroDigests(chunkSize)
    this.#lastZeros = zeroDigests(size - (count - 1) * chunkSize)
  }

  /** The next whole pages; only the last may be shorter. */
  add(bytes: Uint8Array): void {
    this.#hash.update(bytes)
    for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
      this.seals.set(sealOf(bytes.subarray(at, at + PAGE_BYTES)), this.#page++ * SEAL_BYTES)
    }
    for (let at = 0; at < bytes.length; at += DIGEST_SIZE, this.#entry++) {
      const zeros = this.#entry === this.zeroMap.count - 1 ? this.#lastZeros : this.#zeros
      for (const zero of zeros) if (isDigest(bytes, at, zero)) this.zeroMap.add(this.#entry)
    }
  }

  finish(): string {
    return this.#hash.digest('hex')
  }
}

function isDigest(bytes: Uint8Array, at: number, digest: Uint8Array): boolean {
  for (let i = 0; i < DIGEST_SIZE; i++) if (bytes[at + i] !== digest[i]) return false
  return true
}

function sealOf(page: Uint8Array): Uint8Array {
  return createHash('sha256').update(page).digest().subarray(0, SEAL_BYTES)
}

class PagedFixedIndex implements FixedIndex {
  readonly kind = 'fixed'
  readonly name: string
  readonly size: number
  readonly count: number
  readonly chunkSize: number
  readonly maxChunkSize: number
  readonly csum: string
  readonly ctime: number
  readonly zeroMap: ZeroMap
  readonly #read: ReadPart
  readonly #seals: Uint8Array
  /** By number, the most recently used last. */
  readonly #pages = new Map<number, Uint8Array>()
  readonly #loading = new Map<number, Promise<void>>()

  constructor(read: ReadPart, name: string, header: FixedHeader, scan: Scan) {
    this.#read = read
    this.name = name
    this.size = header.size
    this.count = header.count
    this.chunkSize = header.chunkSize
    this.maxChunkSize = Math.min(header.chunkSize, header.size)
    this.ctime = header.ctime
    this.csum = scan.finish()
    this.zeroMap = scan.zeroMap
    this.#seals = scan.seals
  }

  get memoryBytes(): number {
    return this.zeroMap.byteLength + this.#seals.length + MAX_PAGES * PAGE_BYTES
  }

  chunkAt(offset: number): number {
    return Math.floor(offset / this.chunkSize)
  }

  startOf(i: number): number {
    return i * this.chunkSize
  }

  endOf(i: number): number {
    return Math.min((i + 1) * this.chunkSize, this.size)
  }

  digestAt(i: number): Uint8Array {
    const at = (i % PAGE_ENTRIES) * DIGEST_SIZE
    return this.#pageOf(i).subarray(at, at + DIGEST_SIZE)
  }

  digestsFrom(i: number): Uint8Array {
    return this.#pageOf(i).subarray((i % PAGE_ENTRIES) * DIGEST_SIZE)
  }

  keyAt(i: number): string {
    const at = (i % PAGE_ENTRIES) * DIGEST_SIZE
    return keyOf(this.#pageOf(i), at, at + DIGEST_SIZE)
  }

  pending(first: number, last: number): Promise<void> | undefined {
    const waits: Promise<void>[] = []
    for (let page = Math.floor(first / PAGE_ENTRIES); page * PAGE_ENTRIES <= last; page++) {
      const known = this.#pages.get(page)
      if (known === undefined) {
        waits.push(this.#load(page))
      } else {
        this.#pages.delete(page)
        this.#pages.set(page, known)
      }
    }
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined)
  }

  #pageOf(i: number): Uint8Array {
    const page = this.#pages.get(Math.floor(i / PAGE_ENTRIES))
    if (page === undefined) throw new Error(`bug: entry ${i} of ${this.name} was not brought into memory`)
    return page
  }

  #load(page: number): Promise<void> {
    const running = this.#loading.get(page)
    if (running !== undefined) return running
    const loading = this.#loadPage(page).finally(() => this.#loading.delete(page))
    this.#loading.set(page, loading)
    return loading
  }

  async #loadPage(page: number): Promise<void> {
    const offset = INDEX_HEADER_SIZE + page * PAGE_BYTES
    const length = Math.min(PAGE_BYTES, this.count * DIGEST_SIZE - page * PAGE_BYTES)
    const bytes = await this.#read(offset, length)
    const seal = this.#seals.subarray(page * SEAL_BYTES, (page + 1) * SEAL_BYTES)
    if (bytes.length !== length || !Buffer.from(sealOf(bytes)).equals(seal)) {
      throw new IntegrityError(`${this.name}: the index is not what it was when it was opened`, { stream: this.name, offset })
    }
    this.#pages.set(page, bytes)
    for (const oldest of this.#pages.keys()) {
      if (this.#pages.size <= MAX_PAGES) break
      this.#pages.delete(oldest)
    }
  }
}

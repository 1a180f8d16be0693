import { viewOf } from '../bytes/le.js'
import type { DirSink, Entry } from '../tree/tree.js'
import type { AttrBridge } from './attr-bridge.js'
import { DirentPacker, forEachReferenced } from './protocol/dirents.js'
import { FUSE_ENTRY_OUT_SIZE } from './protocol/fuse-attr.js'
import { FUSE_OUT_HEADER_SIZE } from './protocol/reply.js'

/** Smallest buffer: the request of a usual getdents. */
const MIN_LISTING = 32 * 1024
/** Largest listing answered at once, whatever the kernel asks for. */
export const MAX_LISTING = 1024 * 1024

/** Collects one directory reply in a buffer of its own, header space included. */
export class Listing implements DirSink {
  readonly bytes: Buffer
  readonly view: DataView
  readonly #packer = new DirentPacker()
  readonly #capacity: number
  #bridge: AttrBridge | undefined
  #plus = false

  constructor(capacity: number) {
    this.#capacity = capacity
    this.bytes = Buffer.allocUnsafeSlow(FUSE_OUT_HEADER_SIZE + capacity)
    this.view = viewOf(this.bytes)
  }

  get capacity(): number {
    return this.#capacity
  }

  /** `limit` at most the capacity. `plus`: with attributes. */
  begin(plus: boolean, limit: number, bridge: AttrBridge): void {
    this.#plus = plus
    this.#bridge = bridge
    this.#packer.begin(this.bytes, this.view, FUSE_OUT_HEADER_SIZE, limit)
  }

  get used(): number {
    return this.#packer.used
  }

  add(name: Uint8Array, start: number, end: number, cookie: number, entry: Entry): boolean {
    const attr = entry.attr
    const type = (attr.mode >>> 12) & 15
    if (!this.#plus) return this.#packer.add(name, start, end, attr.inoHi, attr.inoLo, type, cookie)
    const at = this.#packer.addPlus(name, start, end, attr.inoHi, attr.inoLo, type, cookie)
    if (at < 0) return false
    // Without a node the record names the entry and tells nothing else: all zeros.
    if (entry.idLo === 0 && entry.idHi === 0) this.bytes.fill(0, at, at + FUSE_ENTRY_OUT_SIZE)
    else this.#bridge!.writeEntryOut(this.view, at, entry)
    return true
  }

  /** Visits the nodes the kernel knows once it has this reply. */
  forEachReferenced(visit: (hi: number, lo: number) => void): void {
    if (this.#plus) forEachReferenced(this.view, FUSE_OUT_HEADER_SIZE, this.used, visit)
  }
}

/** Listings that are not in use; a directory that has to be decoded keeps its own meanwhile. */
export class ListingPool {
  readonly #free: Listing[] = []
  static readonly KEPT = 4

  take(size: number): Listing {
    const i = this.#free.findIndex((listing) => listing.capacity >= size)
    if (i >= 0) return this.#free.splice(i, 1)[0]!
    let capacity = MIN_LISTING
    while (capacity < size) capacity *= 2
    return new Listing(capacity)
  }

  give(listing: Listing): void {
    if (this.#free.length < ListingPool.KEPT) this.#free.push(listing)
  }
}

import { writeInt64 } from '../../bytes/le.js'
import { FUSE_ENTRY_OUT_SIZE } from './fuse-attr.js'

/**
 * fuse_dirent: 0 u64 ino, 8 u64 off, 16 u32 namelen, 20 u32 type, 24 name, zeros to a multiple
 * of 8. fuse_direntplus: a fuse_entry_out (128) in front of the same.
 */
export const FUSE_DIRENT_HEAD = 24
export const FUSE_DIRENTPLUS_HEAD = FUSE_ENTRY_OUT_SIZE + FUSE_DIRENT_HEAD
const DIRENT = { ino: 0, off: 8, namelen: 16, type: 20, name: 24 } as const

/** Length of a record with a name of `nameLength` bytes. */
export function direntSize(head: number, nameLength: number): number {
  return (head + nameLength + 7) & ~7
}

/**
 * Packs records into one buffer. The same object serves any number of listings; nothing is
 * allocated per record.
 */
export class DirentPacker {
  #bytes: Uint8Array = new Uint8Array(0)
  #view: DataView = new DataView(this.#bytes.buffer)
  #start = 0
  #at = 0
  #end = 0

  /** Records go to `bytes[start, start + limit)`, which must exist. */
  begin(bytes: Uint8Array, view: DataView, start: number, limit: number): void {
    this.#bytes = bytes
    this.#view = view
    this.#start = start
    this.#at = start
    this.#end = start + limit
  }

  /** Bytes packed since `begin`. */
  get used(): number {
    return this.#at - this.#start
  }

  /** Adds a fuse_dirent; false when it did not fit. */
  add(name: Uint8Array, start: number, end: number, inoHi: number, inoLo: number, type: number, cookie: number): boolean {
    const size = direntSize(FUSE_DIRENT_HEAD, end - start)
    if (this.#at + size > this.#end) return false
    this.#pack(this.#at, size, name, start, end, inoHi, inoLo, type, cookie)
    this.#at += size
    return true
  }

  /**
   * Adds a fuse_direntplus but for its fuse_entry_out, which the caller writes: returns the
   * place of that, or -1 when the record did not fit.
   */
  addPlus(name: Uint8Array, start: number, end: number, inoHi: number, inoLo: number, type: number, cookie: number): number {
    const size = direntSize(FUSE_DIRENTPLUS_HEAD, end - start)
    const entry = this.#at
    if (entry + size > this.#end) return -1
    this.#pack(entry + FUSE_ENTRY_OUT_SIZE, size - FUSE_ENTRY_OUT_SIZE, name, start, end, inoHi, inoLo, type, cookie)
    this.#at += size
    return entry
  }

  #pack(
    at: number, size: number, name: Uint8Array, start: number, end: number,
    inoHi: number, inoLo: number, type: number, cookie: number,
  ): void { // prettier-ignore
    const view = this.#view
    const bytes = this.#bytes
    // The last eight bytes may be partly padding; the name is written over the rest of them.
    view.setUint32(at + size - 8, 0, true)
    view.setUint32(at + size - 4, 0, true)
    view.setUint32(at + DIRENT.ino, inoLo, true)
    view.setUint32(at + DIRENT.ino + 4, inoHi, true)
    writeInt64(view, at + DIRENT.off, cookie)
    view.setUint32(at + DIRENT.namelen, end - start, true)
    view.setUint32(at + DIRENT.type, type, true)
    let to = at + DIRENT.name
    for (let i = start; i < end; i++) bytes[to++] = name[i]!
  }
}

/**
 * Calls `visit` with the node of every record in a buffer of fuse_direntplus records that the
 * kernel takes a reference to (node not 0).
 */
export function forEachReferenced(view: DataView, start: number, used: number, visit: (hi: number, lo: number) => void): void {
  const end = start + used
  for (let at = start; at < end; ) {
    const lo = view.getUint32(at, true)
    const hi = view.getUint32(at + 4, true)
    if (lo !== 0 || hi !== 0) visit(hi, lo)
    at += direntSize(FUSE_DIRENTPLUS_HEAD, view.getUint32(at + FUSE_ENTRY_OUT_SIZE + DIRENT.namelen, true))
  }
}

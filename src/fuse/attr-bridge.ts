import { writeInt64 } from '../bytes/le.js'
import type { Attr, Entry } from '../tree/tree.js'
import { encodeRdev, FUSE_ATTR, FUSE_ATTR_OUT, FUSE_ENTRY_OUT, writeValidity } from './protocol/fuse-attr.js'

/** What `-o uid=,gid=,umask=` show instead of the archive's; undefined: as it is. */
export interface AttrOverride {
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  /** Permission bits become 0777 without these. */
  readonly umask?: number | undefined
}

const S_IFMT = 0o170000
const PERMISSIONS = 0o777

/** Writes the kernel's records from the tree's attributes; nothing is allocated. */
export class AttrBridge {
  readonly #uid: number
  readonly #gid: number
  readonly #permissions: number

  constructor(override: AttrOverride = {}) {
    this.#uid = override.uid ?? -1
    this.#gid = override.gid ?? -1
    this.#permissions = override.umask === undefined ? -1 : PERMISSIONS & ~override.umask
  }

  /** fuse_attr at `at`. */
  writeAttr(view: DataView, at: number, attr: Attr): void {
    view.setUint32(at + FUSE_ATTR.ino, attr.inoLo, true)
    view.setUint32(at + FUSE_ATTR.ino + 4, attr.inoHi, true)
    writeInt64(view, at + FUSE_ATTR.size, attr.size)
    writeInt64(view, at + FUSE_ATTR.blocks, attr.blocks)
    writeInt64(view, at + FUSE_ATTR.atime, attr.mtimeSec)
    writeInt64(view, at + FUSE_ATTR.mtime, attr.mtimeSec)
    writeInt64(view, at + FUSE_ATTR.ctime, attr.mtimeSec)
    view.setUint32(at + FUSE_ATTR.atimensec, attr.mtimeNsec, true)
    view.setUint32(at + FUSE_ATTR.mtimensec, attr.mtimeNsec, true)
    view.setUint32(at + FUSE_ATTR.ctimensec, attr.mtimeNsec, true)
    const mode = this.#permissions < 0 ? attr.mode : (attr.mode & S_IFMT) | this.#permissions
    view.setUint32(at + FUSE_ATTR.mode, mode, true)
    view.setUint32(at + FUSE_ATTR.nlink, attr.nlink, true)
    view.setUint32(at + FUSE_ATTR.uid, this.#uid < 0 ? attr.uid : this.#uid, true)
    view.setUint32(at + FUSE_ATTR.gid, this.#gid < 0 ? attr.gid : this.#gid, true)
    view.setUint32(at + FUSE_ATTR.rdev, encodeRdev(attr.major, attr.minor), true)
    view.setUint32(at + FUSE_ATTR.blksize, attr.blksize, true)
    view.setUint32(at + FUSE_ATTR.flags, 0, true)
  }

  /** fuse_attr_out at `at`. */
  writeAttrOut(view: DataView, at: number, attr: Attr): void {
    writeValidity(view, at + FUSE_ATTR_OUT.attrValid, at + FUSE_ATTR_OUT.attrValidNsec, attr.ttl)
    view.setUint32(at + FUSE_ATTR_OUT.dummy, 0, true)
    this.writeAttr(view, at + FUSE_ATTR_OUT.attr, attr)
  }

  /** fuse_entry_out at `at`; the generation is 0. */
  writeEntryOut(view: DataView, at: number, entry: Entry): void {
    view.setUint32(at + FUSE_ENTRY_OUT.nodeid, entry.idLo, true)
    view.setUint32(at + FUSE_ENTRY_OUT.nodeid + 4, entry.idHi, true)
    view.setUint32(at + FUSE_ENTRY_OUT.generation, 0, true)
    view.setUint32(at + FUSE_ENTRY_OUT.generation + 4, 0, true)
    writeValidity(view, at + FUSE_ENTRY_OUT.entryValid, at + FUSE_ENTRY_OUT.entryValidNsec, entry.entryTtl)
    writeValidity(view, at + FUSE_ENTRY_OUT.attrValid, at + FUSE_ENTRY_OUT.attrValidNsec, entry.attr.ttl)
    this.writeAttr(view, at + FUSE_ENTRY_OUT.attr, entry.attr)
  }
}

/** Kinds of entries. */
export const KIND_FILE = 1
export const KIND_DIR = 2
export const KIND_SYMLINK = 3
export const KIND_CHAR = 4
export const KIND_BLOCK = 5
export const KIND_FIFO = 6
export const KIND_SOCKET = 7
/** Another name of an earlier file; only `linkTarget` and the name mean anything. */
export const KIND_HARDLINK = 8

export type EntryKind = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8

export const FLAG_XATTR = 1
/** Access or default ACL. */
export const FLAG_ACL = 2
export const FLAG_FCAPS = 4
export const FLAG_PROJID = 8
/** The content is in the payload stream (PAYLOAD_REF); without it, behind the entry itself. */
export const FLAG_PAYLOAD_REF = 16
/** Only in a directory table: this name is a hard link, the record is its target's. */
export const FLAG_LINKED_NAME = 32

/**
 * One entry, as the metadata stream tells it. A plain mutable record, so that loops can reuse one;
 * offsets are absolute in the metadata stream unless said otherwise.
 */
export interface EntryRecord {
  kind: EntryKind
  /** Bits FLAG_*. */
  flags: number
  /** FILENAME header, the identity of everything but a directory; -1 when unknown (root, directory by its end). */
  fileOfs: number
  /** ENTRY header; for KIND_HARDLINK the HARDLINK header. */
  entryOfs: number
  /** The name's bytes, without NUL; both 0 when `fileOfs` is -1. */
  nameStart: number
  nameEnd: number
  /** st_mode with its type bits; 0 for KIND_HARDLINK. */
  mode: number
  uid: number
  gid: number
  /** Seconds since the epoch, may be negative; nanoseconds count forward. */
  mtimeSec: number
  mtimeNsec: number
  /** Bytes of a file's content or of a symlink's target; else 0. */
  size: number
  /** Header of PAYLOAD (in the payload stream with FLAG_PAYLOAD_REF) or of SYMLINK; else 0. */
  contentOfs: number
  /** Devices only. */
  major: number
  minor: number
  /** KIND_HARDLINK: FILENAME header of the target; else 0. */
  linkTarget: number
  /** Behind the last item; for a directory behind its own attributes, where its first child is. */
  itemEnd: number
  /** Directories: end of the goodbye table, which names the directory; 0 when unknown or no directory. */
  end: number
}

export function createRecord(): EntryRecord {
  return {
    kind: KIND_FILE, flags: 0, fileOfs: 0, entryOfs: 0, nameStart: 0, nameEnd: 0, mode: 0, uid: 0, gid: 0,
    mtimeSec: 0, mtimeNsec: 0, size: 0, contentOfs: 0, major: 0, minor: 0, linkTarget: 0, itemEnd: 0, end: 0,
  } // prettier-ignore
}

/** One request kind of the kernel (`enum fuse_opcode`). */
export interface Opcode {
  readonly opcode: number
  /** The kernel's name without `FUSE_`. */
  readonly name: string
  /** Fewest bytes behind the 40-byte header of a well-formed request. */
  readonly minBody: number
  /** NUL-terminated names at the end of the body. */
  readonly names: 0 | 1 | 2
  /** The kernel waits for no answer, and an answer would be an error. */
  readonly noReply: boolean
}

function row(opcode: number, name: string, minBody: number, names: 0 | 1 | 2 = 0, noReply = false): Opcode {
  return { opcode, name, minBody: minBody + 2 * names, names, noReply }
}

const NO_REPLY = true

export const FUSE_LOOKUP = 1
export const FUSE_FORGET = 2
export const FUSE_GETATTR = 3
export const FUSE_SETATTR = 4
export const FUSE_READLINK = 5
export const FUSE_OPEN = 14
export const FUSE_READ = 15
export const FUSE_WRITE = 16
export const FUSE_STATFS = 17
export const FUSE_RELEASE = 18
export const FUSE_FSYNC = 20
export const FUSE_GETXATTR = 22
export const FUSE_LISTXATTR = 23
export const FUSE_FLUSH = 25
export const FUSE_INIT = 26
export const FUSE_OPENDIR = 27
export const FUSE_READDIR = 28
export const FUSE_RELEASEDIR = 29
export const FUSE_FSYNCDIR = 30
export const FUSE_ACCESS = 34
export const FUSE_INTERRUPT = 36
export const FUSE_DESTROY = 38
export const FUSE_IOCTL = 39
export const FUSE_POLL = 40
export const FUSE_NOTIFY_REPLY = 41
export const FUSE_BATCH_FORGET = 42
export const FUSE_FALLOCATE = 43
export const FUSE_READDIRPLUS = 44
export const FUSE_LSEEK = 46
export const FUSE_SYNCFS = 50
export const FUSE_STATX = 52

/** Every request a plain mount can meet. A name takes at least one byte and its NUL. */
export const OPCODES: readonly Opcode[] = [
  row(FUSE_LOOKUP, 'LOOKUP', 0, 1),
  row(FUSE_FORGET, 'FORGET', 8, 0, NO_REPLY),
  row(FUSE_GETATTR, 'GETATTR', 16),
  row(FUSE_SETATTR, 'SETATTR', 88),
  row(FUSE_READLINK, 'READLINK', 0),
  row(6, 'SYMLINK', 0, 2),
  row(8, 'MKNOD', 16, 1),
  row(9, 'MKDIR', 8, 1),
  row(10, 'UNLINK', 0, 1),
  row(11, 'RMDIR', 0, 1),
  row(12, 'RENAME', 8, 2),
  row(13, 'LINK', 8, 1),
  row(FUSE_OPEN, 'OPEN', 8),
  row(FUSE_READ, 'READ', 40),
  row(FUSE_WRITE, 'WRITE', 40),
  row(FUSE_STATFS, 'STATFS', 0),
  row(FUSE_RELEASE, 'RELEASE', 24),
  row(FUSE_FSYNC, 'FSYNC', 16),
  row(21, 'SETXATTR', 8, 1),
  row(FUSE_GETXATTR, 'GETXATTR', 8, 1),
  row(FUSE_LISTXATTR, 'LISTXATTR', 8),
  row(24, 'REMOVEXATTR', 0, 1),
  row(FUSE_FLUSH, 'FLUSH', 24),
  row(FUSE_INIT, 'INIT', 16),
  row(FUSE_OPENDIR, 'OPENDIR', 8),
  row(FUSE_READDIR, 'READDIR', 40),
  row(FUSE_RELEASEDIR, 'RELEASEDIR', 24),
  row(FUSE_FSYNCDIR, 'FSYNCDIR', 16),
  row(31, 'GETLK', 48),
  row(32, 'SETLK', 48),
  row(33, 'SETLKW', 48),
  row(FUSE_ACCESS, 'ACCESS', 8),
  row(35, 'CREATE', 16, 1),
  row(FUSE_INTERRUPT, 'INTERRUPT', 8, 0, NO_REPLY),
  row(37, 'BMAP', 16),
  row(FUSE_DESTROY, 'DESTROY', 0),
  row(FUSE_IOCTL, 'IOCTL', 32),
  row(FUSE_POLL, 'POLL', 24),
  row(FUSE_NOTIFY_REPLY, 'NOTIFY_REPLY', 40, 0, NO_REPLY),
  row(FUSE_BATCH_FORGET, 'BATCH_FORGET', 8, 0, NO_REPLY),
  row(FUSE_FALLOCATE, 'FALLOCATE', 32),
  row(FUSE_READDIRPLUS, 'READDIRPLUS', 40),
  row(45, 'RENAME2', 16, 2),
  row(FUSE_LSEEK, 'LSEEK', 24),
  row(47, 'COPY_FILE_RANGE', 56),
  row(48, 'SETUPMAPPING', 32),
  row(49, 'REMOVEMAPPING', 4),
  row(FUSE_SYNCFS, 'SYNCFS', 8),
  row(51, 'TMPFILE', 16, 1),
  row(FUSE_STATX, 'STATX', 24),
  row(53, 'COPY_FILE_RANGE_64', 56),
]

/** Opcodes are below this; a table indexed by opcode has this many places. */
export const OPCODE_LIMIT = 64

const byNumber: (Opcode | undefined)[] = Array.from({ length: OPCODE_LIMIT }, () => undefined)
for (const opcode of OPCODES) byNumber[opcode.opcode] = opcode

/** undefined for an opcode this program has never heard of. */
export function opcodeOf(opcode: number): Opcode | undefined {
  return opcode < OPCODE_LIMIT ? byNumber[opcode] : undefined
}

export function opcodeName(opcode: number): string {
  return opcodeOf(opcode)?.name ?? `opcode ${opcode}`
}

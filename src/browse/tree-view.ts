import { lendBytes } from '../bytes/lend-bytes.js'
import { asBuffer, escapeName } from '../bytes/names.js'
import { NodeError } from '../errors/errors.js'
import { archiveOf } from '../tree/node-id.js'
import { ROOT, type Attr, type Content, type DirSink, type NodeId, type Tree } from '../tree/tree.js'

/** Entries taken from a directory at a time. */
const BATCH = 1024

/** Bytes of a file in one piece, at most. */
const PIECE = 4 * 1024 * 1024

const S_IFMT = 0o170000
const S_IFDIR = 0o040000
const S_IFREG = 0o100000
const S_IFLNK = 0o120000

/** Something in a tree. Attributes are a copy of its own. */
export interface Found {
  readonly id: NodeId
  /** Empty: the root. */
  readonly name: Buffer
  readonly attr: Attr
}

export function isDirectory({ attr }: Found): boolean {
  return (attr.mode & S_IFMT) === S_IFDIR
}

export function isRegular({ attr }: Found): boolean {
  return (attr.mode & S_IFMT) === S_IFREG
}

export function isSymlink({ attr }: Found): boolean {
  return (attr.mode & S_IFMT) === S_IFLNK
}

/** True for what lies above the archives and beside them; false for an entry of an archive. */
export function isAboveArchives({ id }: Found): boolean {
  return archiveOf(id.hi) === 0
}

/** A tree for those who are not the kernel: paths, listings and contents. */
export class TreeView {
  readonly #tree: Tree

  constructor(tree: Tree) {
    this.#tree = tree
  }

  /** It is known that nothing in the tree has extended attributes. */
  get isPlain(): boolean {
    return this.#tree.isPlain === true
  }

  /** Names and sizes below the directory are read without reading contents. */
  async isQuickToWalk({ id }: Found): Promise<boolean> {
    return (await this.#tree.isQuickToWalk?.(id)) ?? true
  }

  async root(): Promise<Found> {
    return { id: ROOT, name: Buffer.alloc(0), attr: { ...(await this.#tree.getattr(ROOT)) } }
  }

  /** What is at a path below `from`; links are not followed. Rejects with NodeError ENOENT or ENOTDIR. */
  async resolve(path: Uint8Array, from?: Found): Promise<Found> {
    let at = from ?? (await this.root())
    for (const name of splitPath(path)) {
      if (!isDirectory(at)) throw new NodeError('ENOTDIR', `${escapeName(path)}: "${escapeName(at.name)}" is not a directory`)
      const next = await this.child(at, name)
      if (next === undefined) throw new NodeError('ENOENT', `${escapeName(path)}: there is no "${escapeName(name)}"`)
      at = next
    }
    return at
  }

  /** The entry of that name. */
  async child(dir: Found, name: Buffer): Promise<Found | undefined> {
    const entry = await this.#tree.lookup(dir.id, name)
    return entry === undefined ? undefined : { id: { hi: entry.idHi, lo: entry.idLo }, name, attr: { ...entry.attr } }
  }

  /**
   * The entries of a directory in the order of the archive, without `.` and `..`. What could be read
   * of a damaged one comes first, then the error.
   */
  async *list(dir: Found): AsyncGenerator<Found> {
    let cookie = 0
    for (;;) {
      const batch: Found[] = []
      let last = cookie
      const sink: DirSink = {
        add: (name, start, end, next, { idHi, idLo, attr }) => {
          if (batch.length === BATCH) return false
          last = next
          const own = Buffer.from(asBuffer(name).subarray(start, end))
          if (!isDots(own)) batch.push({ id: { hi: idHi, lo: idLo }, name: own, attr: { ...attr } })
          return true
        },
      }
      await this.#tree.list(dir.id, cookie, sink)
      if (last === cookie) return
      cookie = last
      for (const found of batch) {
        // A name without a node is only named: ask for the rest.
        const whole = found.id.hi === 0 && found.id.lo === 0 ? await this.child(dir, found.name) : found
        if (whole !== undefined) yield whole
      }
    }
  }

  async readlink(link: Found): Promise<Uint8Array> {
    return this.#tree.readlink(link.id)
  }

  /** Extended attributes, ACLs and capabilities among them, as the mount shows them. */
  async xattrs({ id }: Found): Promise<(readonly [name: Uint8Array, value: Uint8Array])[]> {
    const all: (readonly [Uint8Array, Uint8Array])[] = []
    for (const name of await this.#tree.listxattr(id)) {
      const value = await this.#tree.getxattr(id, name)
      if (value !== undefined) all.push([name, value])
    }
    return all
  }

  /** Where the bytes of a regular file are. */
  async content({ id }: Found): Promise<Content> {
    return this.#tree.content(id)
  }

  /** The bytes of a regular file in order, each piece until the next one is asked for. */
  async *read(file: Found): AsyncGenerator<Uint8Array> {
    yield* readPieces(await this.content(file))
  }
}

/** The bytes of a content in order, each piece until the next one is asked for; what comes next is loaded meanwhile. */
export async function* readPieces({ stream, start, size }: Content): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < size; ) {
    const length = Math.min(PIECE, size - at)
    const { pieces, release } = await lendBytes(stream, start + at, length)
    try {
      yield* pieces
    } finally {
      release()
    }
    at += length
  }
}

/** Components of a path; empty ones and `.` do not count. */
export function splitPath(path: Uint8Array): Buffer[] {
  const names: Buffer[] = []
  const bytes = asBuffer(path)
  for (let at = 0; at <= bytes.length; ) {
    const slash = bytes.indexOf(0x2f, at)
    const end = slash < 0 ? bytes.length : slash
    const name = bytes.subarray(at, end)
    if (name.length > 0 && !(name.length === 1 && name[0] === 0x2e)) names.push(Buffer.from(name))
    at = end + 1
  }
  return names
}

function isDots(name: Buffer): boolean {
  return name.length <= 2 && name.length > 0 && name.every((byte) => byte === 0x2e)
}

import { isUtf8 } from 'node:buffer'
import { asBuffer, escapeName } from '../bytes/names.js'
import { FormatError, NodeError, TruncatedError, UnsupportedError, type ErrorFields } from '../errors/errors.js'
import { ERRNO, errnoOf, isBug, isOrdinary } from '../errors/errno.js'
import type { Log } from '../errors/log.js'
import type { Content, NodeId, Tree } from '../tree/tree.js'
import { InodeNumbers } from './inode-numbers.js'
import type { NativeHandlers, Signal } from './library.js'
import { isLossy, showName } from './names.js'
import { OpenFiles } from './open-files.js'
import { PathNames } from './path-names.js'
import { encodeListed, encodeStat, encodeStatvfs, type AttrOverride } from './records.js'

const O_ACCMODE = 3
const O_TRUNC = 0o1000
const U32 = 2 ** 32
/** Longest symbolic link target the kernel takes. */
const MAX_TARGET = 4095
/** Group and all others: with an ACL the group bits are its mask. */
const OTHERS = 0o077
const ACCESS_ACL = Buffer.from('system.posix_acl_access')

export interface OperationOptions {
  readonly override: AttrOverride
  /**
   * Permissions are checked by the kernel, which gets no ACLs from this library: what has one shows
   * its owner's permissions only, so that nobody gets in whom the ACL keeps out.
   */
  readonly checkPermissions: boolean
}

export interface OperationCounts {
  total: number
  waiting: number
  bytesRead: number
}

/** Answers of the tree to the calls of the library. */
export class NativeOperations {
  readonly counts: OperationCounts = { total: 0, waiting: 0, bytesRead: 0 }
  readonly #tree: Tree
  readonly #log: Log
  readonly #options: OperationOptions
  readonly #names: PathNames
  readonly #inodes = new InodeNumbers()
  readonly #files: OpenFiles

  constructor(tree: Tree, log: Log, options: OperationOptions) {
    this.#tree = tree
    this.#log = log
    this.#options = options
    this.#names = new PathNames(tree)
    this.#files = new OpenFiles(tree)
  }

  readonly handlers: NativeHandlers = {
    _op_getattr: (signal, path) =>
      this.#serve('getattr', path, signal, async () => signal(0, await this.#stat(await this.#find(path)))),
    _op_fgetattr: (signal, path, handle) =>
      this.#serve('fgetattr', path, signal, async () => signal(0, await this.#stat(this.#files.node(handle)))),
    _op_readdir: (signal, path) => this.#serve('readdir', path, signal, () => this.#readdir(signal, path)),
    _op_readlink: (signal, path) =>
      this.#serve('readlink', path, signal, async () => signal(0, await this.#readlink(path))),
    _op_open: (signal, path, flags) =>
      this.#serve('open', path, signal, async () => {
        if ((flags & O_ACCMODE) !== 0 || (flags & O_TRUNC) !== 0) throw new NodeError('EROFS')
        signal(0, await this.#files.open(await this.#find(path)))
      }),
    _op_release: (signal, path, handle) =>
      this.#serve('release', path, signal, () => {
        this.#files.release(handle)
        signal(0)
      }),
    _op_read: (signal, path, handle, target, length, low, high) => {
      const refuse = (errno: number): void => signal(errno, 0, target.buffer)
      this.#serve('read', path, refuse, async () => {
        const content = await this.#tree.content(this.#files.node(handle))
        const count = await readContent(content, low + high * U32, target.subarray(0, length))
        this.counts.bytesRead += count
        signal(count, count, target.buffer)
      })
    },
    _op_getxattr: (signal, path, name, target) => {
      const answer = (result: number): void => signal(result, target.buffer)
      this.#serve('getxattr', path, answer, async () => {
        const value = await this.#getxattr(await this.#find(path), name)
        answer(value === undefined ? -ERRNO.ENODATA : fill(target, value))
      })
    },
    _op_listxattr: (signal, path, target) => {
      const answer = (result: number): void => signal(result, target.buffer)
      this.#serve('listxattr', path, answer, async () => {
        answer(fill(target, joinNames(await this.#tree.listxattr(await this.#find(path)))))
      })
    },
    _op_statfs: (signal, path) =>
      this.#serve('statfs', path, signal, () => signal(0, encodeStatvfs(this.#tree.statfs()))),
  }

  /** Runs `work`, which answers as its last act, or answers with the errno of its failure. */
  #serve(op: string, path: string, refuse: (errno: number) => void, work: () => void | Promise<void>): void {
    this.counts.total++
    this.counts.waiting++
    void (async () => {
      try {
        await work()
      } catch (error) {
        if (isBug(error)) this.#log.error('bug: a request failed for no named reason', describe(op, path, error))
        else if (!isOrdinary(error)) this.#log.warn('request failed', describe(op, path, error))
        refuse(-errnoOf(error))
      } finally {
        this.counts.waiting--
      }
    })()
  }

  async #find(path: string): Promise<NodeId> {
    const node = await this.#names.find(path)
    if (node === undefined) throw new NodeError('ENOENT')
    return node
  }

  async #stat(node: NodeId): Promise<Uint32Array> {
    const { checkPermissions, override } = this.#options
    const hidden = checkPermissions && (await this.#hasAcl(node)) ? OTHERS : 0
    const attr = await this.#tree.getattr(node)
    return encodeStat(attr, this.#inodes.numberOf(attr.inoHi, attr.inoLo), override, hidden)
  }

  async #hasAcl(node: NodeId): Promise<boolean> {
    return (await this.#tree.getxattr(node, ACCESS_ACL)) !== undefined
  }

  async #readdir(signal: Signal, path: string): Promise<void> {
    const names: string[] = []
    const stats: Uint32Array[] = []
    await this.#tree.list(await this.#find(path), 0, {
      add: (name, start, end, _cookie, { attr }) => {
        names.push(showName(name.subarray(start, end)))
        stats.push(encodeListed(attr.mode, this.#inodes.numberOf(attr.inoHi, attr.inoLo)))
        return true
      },
    })
    signal(0, names, stats)
  }

  async #readlink(path: string): Promise<string> {
    const target = await this.#tree.readlink(await this.#find(path))
    // An empty target would resolve to the directory itself, one with a NUL would be cut.
    if (target.length === 0 || target.length > MAX_TARGET || target.includes(0)) {
      throw new FormatError('symbolic link with an unusable target', { file: escapeName(path), actual: target.length })
    }
    if (!isUtf8(target)) {
      throw new UnsupportedError('--driver fuse-native cannot show a link target that is not UTF-8', { target: escapeName(target) })
    }
    return asBuffer(target).toString('utf8')
  }

  async #getxattr(node: NodeId, name: string): Promise<Uint8Array | undefined> {
    if (!isLossy(name)) return this.#tree.getxattr(node, Buffer.from(name))
    const matches = (await this.#tree.listxattr(node)).filter((bytes) => asBuffer(bytes).toString('utf8') === name)
    if (matches.length > 1) {
      throw new UnsupportedError('several attributes differ only in bytes that are not UTF-8', { feature: 'fuse-native' })
    }
    return matches[0] === undefined ? undefined : this.#tree.getxattr(node, matches[0])
  }
}

/** Fills `target` from `offset` of a file on; short only at its end. Returns the number of bytes. */
async function readContent(content: Content, offset: number, target: Buffer): Promise<number> {
  const { stream } = content
  const length = Math.min(target.length, content.size - offset)
  if (length <= 0) return 0
  const start = content.start + offset
  if (start + length > stream.size) {
    throw new TruncatedError(`${stream.name} ends before the file does`, {
      stream: stream.name,
      offset: start,
      expected: length,
      actual: Math.max(0, stream.size - start),
    })
  }
  target.set(stream.peek(start, length) ?? (await stream.read(start, length)))
  return length
}

/** Result of an operation on xattrs: the length, or ERANGE when the caller has some room, but too little. */
function fill(target: Buffer, value: Uint8Array): number {
  if (target.length === 0) return value.length
  if (value.length > target.length) return -ERRNO.ERANGE
  target.set(value)
  return value.length
}

/** The names with a NUL behind each. One that is empty or holds a NUL would spoil the whole list. */
function joinNames(names: readonly Uint8Array[]): Uint8Array {
  const parts: Uint8Array[] = []
  for (const name of names) if (name.length > 0 && !name.includes(0)) parts.push(name, Uint8Array.of(0))
  return Buffer.concat(parts)
}

function describe(op: string, path: string, error: unknown): ErrorFields {
  const fields = { op, file: escapeName(path) }
  if (!(error instanceof Error)) return { ...fields, error: String(error) }
  if (isBug(error)) return { ...fields, error: error.stack ?? error.message }
  return { ...fields, error: error.message, ...(error as { fields?: ErrorFields }).fields }
}


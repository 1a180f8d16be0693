import { constants } from 'node:fs'
import { isAboveArchives, isRegular, isSymlink, type Found, type TreeView } from '../browse/tree-view.js'
import { equalBytes, escapeName } from '../bytes/names.js'
import { AbortedError, IntegrityError } from '../errors/errors.js'
import { EACCES, emptyStat, files, OPEN_HANDLE } from '../posix/files.js'
import { compareContent } from './compare-content.js'
import type { RestoreOptions, RestoreProgress } from './restore-options.js'
import { targetError } from './target-error.js'
import { TargetFolders } from './target-folders.js'
import { walkSelected } from './walk-selected.js'

const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | 0o2000000
const OWNER_READS = 0o400
const S_IFMT = 0o170000

export interface VerifySummary {
  /** Regular files compared, and their bytes. */
  files: number
  bytes: number
  /** Entries that are missing or not what the backup has. */
  different: number
}

/**
 * Reads a restored tree again and compares types, contents and targets of links with the backup, whose chunks are
 * checked against their digests on the way. What is in memory of the files is written and dropped first, so that the
 * disk is asked. Differences are reported; what else lies in the target does not count.
 */
export async function verifyTree(view: TreeView, root: Found, target: number, options: RestoreOptions): Promise<VerifySummary> {
  return new TreeVerify(view, target, options).run(root)
}

/** The same for one entry, under the name it has in `found`. */
export async function verifyEntry(view: TreeView, found: Found, folder: number, options: RestoreOptions): Promise<VerifySummary> {
  return new TreeVerify(view, folder, options).runOne(found)
}

class TreeVerify {
  readonly #summary: VerifySummary = { files: 0, bytes: 0, different: 0 }
  readonly #view: TreeView
  readonly #options: RestoreOptions
  readonly #root: number
  readonly #folders: TargetFolders
  readonly #stat = emptyStat()
  readonly #progress: RestoreProgress = { entries: 0, bytes: 0, position: 0, streamSize: 0, path: Buffer.alloc(0) }

  constructor(view: TreeView, target: number, options: RestoreOptions) {
    this.#view = view
    this.#options = options
    this.#root = target
    this.#folders = new TargetFolders(target, true, { mayReplace: () => false, onOpen: () => undefined })
  }

  async run(root: Found): Promise<VerifySummary> {
    const { selection, onProblem } = this.#options
    files().syncfs(this.#root)
    try {
      for await (const { kind, found, path } of walkSelected(this.#view, root, selection, onProblem)) {
        const isRoot = path.length === 0
        if (kind === 'entry') await this.#compare(found, path)
        else if (kind === 'enter' && !isRoot) this.#folders.enter(found.name)
        else if (kind === 'leave' && !isRoot) this.#folders.leave()
      }
      return this.#summary
    } finally {
      this.#folders.close()
    }
  }

  async runOne(found: Found): Promise<VerifySummary> {
    files().syncfs(this.#root)
    await this.#compare(found, found.name)
    return this.#summary
  }

  async #compare(found: Found, path: Buffer): Promise<void> {
    const { signal, onProgress, onProblem } = this.#options
    if (signal.aborted) throw new AbortedError('interrupted')
    this.#progress.entries++
    this.#progress.path = path
    onProgress?.(this.#progress)
    try {
      const difference = await this.#differenceOf(found, path)
      if (difference === undefined) return
      throw new IntegrityError(`${escapeName(path)}: ${difference}`, { path: escapeName(path) })
    } catch (error) {
      if (error instanceof AbortedError) throw error
      this.#summary.different++
      onProblem(error, path)
    }
  }

  async #differenceOf(found: Found, path: Buffer): Promise<string | undefined> {
    const dir = this.#folders.find()
    const there = dir < 0 ? -1 : files().stat(dir, found.name, this.#stat)
    // That he may not make it was told when it was to be made.
    if (there < 0 && isDevice(found.attr.mode) && process.geteuid?.() !== 0) return undefined
    if (there < 0) return 'it is not there'
    if ((this.#stat.mode & S_IFMT) !== (found.attr.mode & S_IFMT)) return 'something of another type is there'
    if (isSymlink(found)) {
      const wanted = await this.#view.readlink(found)
      const target = Buffer.allocUnsafe(wanted.length + 1)
      const length = files().readlinkat(dir, found.name, target)
      return length >= 0 && equalBytes(target.subarray(0, length), wanted) ? undefined : 'the link leads elsewhere'
    }
    if (!isRegular(found)) return undefined
    const size = isAboveArchives(found) ? (await this.#view.content(found)).size : found.attr.size
    if (this.#stat.size !== size) return `it has ${this.#stat.size} bytes, the backup ${size}`
    return this.#compareBytes(found, dir, path)
  }

  async #compareBytes(found: Found, dir: number, path: Buffer): Promise<string | undefined> {
    const fd = this.#openToRead(dir, found.name)
    if (fd < 0) throw targetError('read', escapeName(path), fd)
    try {
      const difference = await compareContent(fd, await this.#view.content(found), {
        signal: this.#options.signal,
        path: escapeName(path),
        onBytes: (count) => {
          this.#progress.bytes += count
          this.#options.onProgress?.(this.#progress)
        },
      })
      if (difference !== undefined) return difference
      this.#summary.files++
      this.#summary.bytes += this.#stat.size
      return undefined
    } finally {
      files().close(fd)
    }
  }

  /** A file whose mode lets not even its owner read it can be read for the moment that opening takes. Negative: an errno. */
  #openToRead(dir: number, name: Buffer): number {
    const call = files()
    const fd = call.openat(dir, name, READ, 0)
    if (fd !== -EACCES || this.#stat.uid !== process.geteuid?.()) return fd
    const handle = call.openat(dir, name, OPEN_HANDLE, 0)
    if (handle < 0) return fd
    const itself = Buffer.from(`/proc/self/fd/${handle}`)
    const mode = this.#stat.mode & 0o7777
    try {
      if (call.chmod(itself, mode | OWNER_READS) < 0) return fd
      try {
        return call.openat(dir, name, READ, 0)
      } finally {
        call.chmod(itself, mode)
      }
    } finally {
      call.close(handle)
    }
  }
}

function isDevice(mode: number): boolean {
  const type = mode & S_IFMT
  return type === 0o020000 || type === 0o060000
}

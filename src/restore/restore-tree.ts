import { setImmediate as nextTurn } from 'node:timers/promises'
import { isAboveArchives, isRegular, isSymlink, type Found, type TreeView } from '../browse/tree-view.js'
import { escapeName } from '../bytes/names.js'
import { AbortedError } from '../errors/errors.js'
import { emptyStat, ENOENT, files, OPEN_HANDLE, type FileStat } from '../posix/files.js'
import { countEntry, EntryWriter } from './entry-writer.js'
import { Metadata } from './metadata.js'
import { emptySummary, type RestoreOptions, type RestoreProgress, type RestoreSummary } from './restore-options.js'
import { conflictError, isConflict, isHopeless, targetError } from './target-error.js'
import { removeTemporary, TargetFolders } from './target-folders.js'
import type { TimeStep } from './time-step.js'
import { walkSelected } from './walk-selected.js'

/** How long work goes on before signals and decoded chunks get a turn, in ms. */
const SLICE_MS = 20

const IN_THE_WAY = 'something else is there; --overwrite replaces it'

const S_IFMT = 0o170000

/** Where a file with several names was written first. */
interface FirstName {
  readonly folder: Buffer
  readonly name: Buffer
}

/**
 * Writes a tree into an open folder: entries in the order of the archive, each under a temporary name until it is
 * complete, metadata of a folder when everything in it is there. Problems of single entries are reported and the
 * work goes on; rejects with TargetError when the target takes nothing more, with AbortedError when it was ended.
 */
export async function restoreTree(view: TreeView, root: Found, target: Target, options: RestoreOptions): Promise<RestoreSummary> {
  const restore = new TreeRestore(view, target, options)
  try {
    await restore.run(root)
    return restore.summary
  } finally {
    restore.close()
  }
}

/** The same for one entry that is no folder; `found.name` is the name it gets in the target. */
export async function restoreEntry(view: TreeView, found: Found, target: Target, options: RestoreOptions): Promise<RestoreSummary> {
  const restore = new TreeRestore(view, target, options)
  try {
    await restore.runOne(found)
    return restore.summary
  } finally {
    restore.close()
  }
}

/** Where a tree is restored to. */
export interface Target {
  /** Descriptor of the folder; -1 in a dry run for one that is not there. */
  readonly fd: number
  /** It was there before. */
  readonly isOld: boolean
  readonly times: TimeStep
}

class TreeRestore {
  readonly summary = emptySummary()
  readonly #view: TreeView
  readonly #options: RestoreOptions
  readonly #target: Target
  readonly #metadata: Metadata
  readonly #folders: TargetFolders
  readonly #writer: EntryWriter
  readonly #firstNames = new Map<string, FirstName>()
  readonly #stat: FileStat = emptyStat()
  readonly #progress: RestoreProgress = { entries: 0, bytes: 0, position: 0, streamSize: 0, path: Buffer.alloc(0) }
  #turn = performance.now()

  constructor(view: TreeView, target: Target, options: RestoreOptions) {
    this.#view = view
    this.#target = target
    this.#options = options
    this.#metadata = new Metadata(options, this.summary)
    this.#writer = new EntryWriter({ view, options, metadata: this.#metadata, summary: this.summary, progress: this.#progress })
    this.#folders = new TargetFolders(target.fd, target.isOld, {
      mayReplace: (path) => {
        if (!options.replace) throw conflictError(escapeName(path), IN_THE_WAY)
        options.onEntry?.(path, 'changed')
        this.summary.replaced++
        return true
      },
      onOpen: (fd, _depth, isOld) => {
        if (isOld) this.#metadata.dropInherited(fd)
      },
    })
  }

  async run(root: Found): Promise<void> {
    if (!this.#options.dryRun) {
      if (this.#target.isOld) removeTemporary(this.#target.fd)
      this.#metadata.dropInherited(this.#target.fd)
    }
    const onError = (error: unknown, path: Buffer): void => this.#failed(error, path)
    for await (const step of walkSelected(this.#view, root, this.#options.selection, onError)) {
      const { kind, found, path } = step
      const isRoot = path.length === 0
      if (kind === 'leave') {
        await this.#finishFolder(found, path)
        continue
      }
      await this.#breathe(path)
      if (kind === 'entry') await this.#attempt(path, () => this.#entry(found, path))
      else if (!isRoot) {
        this.#folders.enter(found.name)
        // What would be in a folder that cannot be made is left out with it.
        if (step.chosen && !(await this.#attempt(path, async () => this.#openFolder(path)))) {
          this.#folders.leave()
          step.skip = true
        }
      }
    }
  }

  /** One entry that is no folder, into the target under the name that it has in `found`. */
  async runOne(found: Found): Promise<void> {
    await this.#breathe(found.name)
    await this.#attempt(found.name, () => this.#entry(found, found.name))
  }

  close(): void {
    this.#folders.close()
  }

  /** Signals, and the threads that decode, get their turn. */
  async #breathe(path: Buffer): Promise<void> {
    const { signal, onProgress } = this.#options
    this.#progress.path = path
    this.#progress.entries++
    const now = performance.now()
    if (now - this.#turn > SLICE_MS) {
      onProgress?.(this.#progress)
      await nextTurn()
      this.#turn = performance.now()
    }
    if (signal.aborted) throw new AbortedError('interrupted')
  }

  #openFolder(path: Buffer): void {
    if (this.#options.dryRun) {
      if (this.#folders.find() >= 0) return
      const isBlocked = this.#folders.isBlocked()
      if (isBlocked && !this.#options.replace) throw conflictError(escapeName(path), IN_THE_WAY)
      this.#tell(path, isBlocked ? 'changed' : 'new')
      this.summary.folders++
      if (isBlocked) this.summary.replaced++
      return
    }
    this.#folders.open()
    if (!this.#folders.isOld) this.summary.folders++
  }

  async #finishFolder(folder: Found, path: Buffer): Promise<void> {
    const isRoot = path.length === 0
    if (!this.#options.dryRun && (this.#folders.isMade || isRoot)) {
      await this.#attempt(path, async () => {
        const attributes = await this.#writer.attributesOf(folder)
        this.#metadata.applyTo(this.#folders.open(), folder.attr, attributes)
      })
    }
    if (!isRoot) this.#folders.leave()
  }

  async #entry(found: Found, path: Buffer): Promise<void> {
    const { dryRun } = this.#options
    const dir = dryRun ? this.#folders.find() : this.#folders.open()
    const there = dir < 0 ? -ENOENT : files().stat(dir, found.name, this.#stat)
    if (there < 0 && there !== -ENOENT) throw targetError('look at', escapeName(path), there)
    const first = this.#firstName(found, path)
    if (there >= 0) {
      if (this.#isSame(found, dir, await this.#linkTarget(found), first)) return this.#keep(found, dir)
      this.#refuseConflict(path)
    }
    this.#tell(path, there < 0 ? 'new' : 'changed')
    if (dryRun) return this.#countPlanned(found, first !== undefined, there >= 0)
    if (first === undefined || !this.#link(first, dir, found.name)) {
      await this.#writer.write(found, dir, path)
      if (first !== undefined) this.#rememberName(found, path)
    }
    if (there >= 0) this.summary.replaced++
  }

  /** What a dry run would have done. */
  #countPlanned(found: Found, isLink: boolean, isReplaced: boolean): void {
    if (isLink) this.summary.hardLinks++
    else countEntry(this.summary, found)
    if (isReplaced) this.summary.replaced++
  }

  /** The name under which the file was restored already, for one with several. */
  #firstName(found: Found, path: Buffer): FirstName | undefined {
    if (!isRegular(found) || found.attr.nlink < 2 || isAboveArchives(found)) return undefined
    const first = this.#firstNames.get(fileKey(found))
    if (first === undefined) this.#rememberName(found, path)
    return first
  }

  #rememberName(found: Found, path: Buffer): void {
    const folder = path.subarray(0, Math.max(0, path.length - found.name.length - 1))
    this.#firstNames.set(fileKey(found), { folder, name: found.name })
  }

  async #linkTarget(found: Found): Promise<Uint8Array | undefined> {
    return isSymlink(found) ? this.#view.readlink(found) : undefined
  }

  /** Is what is there (in `#stat`) what would be restored? */
  #isSame({ attr, name }: Found, dir: number, linkTarget: Uint8Array | undefined, first: FirstName | undefined): boolean {
    const stat = this.#stat
    if ((stat.mode & S_IFMT) !== (attr.mode & S_IFMT)) return false
    if (linkTarget !== undefined) {
      const target = Buffer.allocUnsafe(linkTarget.length + 1)
      const length = files().readlinkat(dir, name, target)
      return length === linkTarget.length && target.subarray(0, length).equals(linkTarget)
    }
    if ((attr.mode & S_IFMT) !== 0o100000) return stat.rdevMajor === attr.major && stat.rdevMinor === attr.minor
    if (stat.size !== attr.size || !this.#target.times.isSame(attr, stat)) return false
    if (first === undefined) return true
    const there = stat.identity
    const folder = this.#folders.openBelow(first.folder)
    if (folder < 0) return false
    const found = files().stat(folder, first.name, stat)
    files().close(folder)
    return found >= 0 && stat.identity === there
  }

  /** What is there stays; owner and mode may still be those of an earlier attempt. */
  #keep(found: Found, dir: number): void {
    this.summary.kept++
    const { attr, name } = found
    this.#progress.bytes += isRegular(found) ? attr.size : 0
    const { ignoreOwnership, ignorePermissions, dryRun } = this.#options
    const stat = this.#stat
    const isOwned = ignoreOwnership || (stat.uid === attr.uid && stat.gid === attr.gid)
    const isOpen = ignorePermissions || isSymlink(found) || (stat.mode & 0o7777) === (attr.mode & 0o7777)
    if (dryRun || (isOwned && isOpen)) return
    if (isSymlink(found)) return this.#metadata.applyToLink(dir, name, attr)
    const handle = files().openat(dir, name, OPEN_HANDLE, 0)
    if (handle < 0) return
    this.#metadata.applyToHandle(handle, dir, name, attr, [])
    files().close(handle)
  }

  /** Throws where what is there (in `#stat`) stays. */
  #refuseConflict(path: Buffer): void {
    const isFolder = (this.#stat.mode & S_IFMT) === 0o040000
    if (isFolder || !this.#options.replace) throw conflictError(escapeName(path), isFolder ? 'a folder is there, which is never removed' : IN_THE_WAY)
  }

  /** Another name for a file that is there. False: it is written anew. */
  #link({ folder, name }: FirstName, dir: number, to: Buffer): boolean {
    const from = this.#folders.openBelow(folder)
    if (from < 0) return false
    try {
      return this.#writer.link(from, name, dir, to)
    } finally {
      files().close(from)
    }
  }

  #tell(path: Buffer, what: 'new' | 'changed'): void {
    this.#options.onEntry?.(path, what)
  }

  /** False: it failed. */
  async #attempt(path: Buffer, work: () => Promise<void>): Promise<boolean> {
    try {
      await work()
      return true
    } catch (error) {
      this.#failed(error, path)
      return false
    }
  }

  /** What costs one entry is told; what costs everything ends the work. */
  #failed(error: unknown, path: Buffer): void {
    if (error instanceof AbortedError || isHopeless(error)) throw error
    if (isConflict(error)) this.summary.conflicts++
    else this.summary.failed++
    this.#options.onProblem(error, path)
  }
}

/** The same for all names of a file. */
function fileKey({ id }: Found): string {
  return `${id.hi}:${id.lo}`
}

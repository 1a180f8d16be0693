import { constants, readdirSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { TargetError } from '../errors/errors.js'
import { EACCES, EEXIST, emptyStat, files, OPEN_FOLDER, OPEN_HANDLE } from '../posix/files.js'
import { targetError } from './target-error.js'
import { isTemporary } from './temporary-name.js'

/** Folders kept open at once; those above are found again from below. */
const MAX_OPEN = 200

const PARENT = Buffer.from('..')
const OWNER_ALL = 0o700

/** A folder of the target; not there yet as long as nothing was put into it. */
interface Level {
  readonly name: Buffer
  /** Of the open folder; -1: not made yet, or closed meanwhile. */
  fd: number
  identity: string
  isMade: boolean
  /** It was there before. */
  isOld: boolean
}

/** What is done with a folder when it is made or found. */
export interface FolderHooks {
  /** Something else has the name: true to have it removed first. */
  readonly mayReplace: (path: Buffer, mode: number) => boolean
  /** A folder is open now; `isOld`: it was there already. */
  readonly onOpen: (fd: number, depth: number, isOld: boolean) => void
}

/**
 * The way from the root of the target to where the restore is, as open folders, each opened in the one above it
 * without following links. Whatever somebody does to the paths meanwhile, what is written lands below the root.
 */
export class TargetFolders {
  readonly #levels: Level[]
  readonly #hooks: FolderHooks
  readonly #stat = emptyStat()

  /** `root` stays its owner's. */
  constructor(root: number, isOld: boolean, hooks: FolderHooks) {
    this.#hooks = hooks
    this.#levels = [{ name: Buffer.alloc(0), fd: root, identity: root < 0 ? '' : this.#identify(root), isMade: true, isOld }]
  }

  /** Path of the current folder below the root. */
  get path(): Buffer {
    return Buffer.from(this.#levels.slice(1).map(({ name }) => name.toString('latin1')).join('/'), 'latin1')
  }

  get isMade(): boolean {
    return this.#levels.at(-1)!.isMade
  }

  get isOld(): boolean {
    return this.#levels.at(-1)!.isOld
  }

  /** Goes down; the folder is made when something is put into it, or by `open`. */
  enter(name: Buffer): void {
    this.#levels.push({ name, fd: -1, identity: '', isMade: false, isOld: false })
  }

  /** Goes up again. */
  leave(): void {
    const { fd } = this.#levels.at(-1)!
    const above = this.#levels.at(-2)!
    // Before the way up is closed.
    if (fd >= 0 && above.fd < 0) this.#reopen(above, fd)
    this.#levels.pop()
    if (fd >= 0) files().close(fd)
  }

  /** Descriptor of the current folder, which is made if need be, as are those above it. */
  open(): number {
    const last = this.#levels.at(-1)!
    if (last.fd < 0) {
      const from = this.#levels.findLastIndex(({ fd }) => fd >= 0)
      for (let i = from + 1; i < this.#levels.length; i++) this.#make(i)
    }
    return last.fd
  }

  /** The same without making anything: -1 when it is not there. */
  find(): number {
    for (let i = 1; i < this.#levels.length; i++) {
      const level = this.#levels[i]!
      const above = this.#levels[i - 1]!.fd
      if (above < 0) return -1
      if (level.fd < 0) level.fd = Math.max(-1, files().openat(above, level.name, OPEN_FOLDER, 0))
    }
    return this.#levels.at(-1)!.fd
  }

  /** After a `find` that found none: something that is no folder has the name of the current one. */
  isBlocked(): boolean {
    const above = this.#levels.at(-2)?.fd ?? -1
    return above >= 0 && files().stat(above, this.#levels.at(-1)!.name, this.#stat) >= 0 && !isFolder(this.#stat.mode)
  }

  /** An open folder below the root, by path; the caller closes it. Negative errno when it cannot be opened. */
  openBelow(path: Buffer): number {
    const call = files()
    let at = this.#root()
    let fd = call.openat(at, Buffer.from('.'), OPEN_FOLDER, 0)
    for (let start = 0; start < path.length && fd >= 0; ) {
      const slash = path.indexOf(0x2f, start)
      const end = slash < 0 ? path.length : slash
      at = fd
      fd = call.openat(at, path.subarray(start, end), OPEN_FOLDER, 0)
      call.close(at)
      start = end + 1
    }
    return fd
  }

  /** Closes everything but the root. */
  close(): void {
    for (const level of this.#levels.splice(1)) if (level.fd >= 0) files().close(level.fd)
  }

  #root(): number {
    const [root] = this.#levels
    if (root!.fd < 0) throw new TargetError('the root of the target is closed')
    return root!.fd
  }

  #make(depth: number): void {
    const level = this.#levels[depth]!
    const above = this.#levels[depth - 1]!.fd
    const path = Buffer.from(this.#levels.slice(1, depth + 1).map(({ name }) => name.toString('latin1')).join('/'), 'latin1')
    const made = this.#makeOrFind(above, level.name, path)
    level.fd = made.fd
    level.isOld = made.isOld
    level.isMade = true
    level.identity = this.#identify(level.fd)
    // The root stays open: links are looked up from it.
    const closing = this.#levels[depth - MAX_OPEN]
    if (depth > MAX_OPEN && closing!.fd >= 0) {
      files().close(closing!.fd)
      closing!.fd = -1
    }
    this.#hooks.onOpen(level.fd, depth, level.isOld)
  }

  #makeOrFind(above: number, name: Buffer, path: Buffer): { readonly fd: number; readonly isOld: boolean } {
    const call = files()
    const shown = escapeName(path)
    const made = call.mkdirat(above, name, OWNER_ALL)
    if (made < 0 && made !== -EEXIST) throw targetError('make the folder', shown, made)
    let fd = call.openat(above, name, OPEN_FOLDER, 0)
    if (made >= 0 && fd >= 0) return { fd, isOld: false }
    if (fd === -EACCES) fd = this.#openLocked(above, name)
    if (fd >= 0) {
      this.#prepareOld(fd)
      return { fd, isOld: true }
    }
    const found = call.stat(above, name, this.#stat)
    if (found < 0) throw targetError('open the folder', shown, fd)
    if (isFolder(this.#stat.mode)) throw targetError('open the folder', shown, fd)
    if (!this.#hooks.mayReplace(path, this.#stat.mode)) throw targetError('make the folder', shown, made)
    const removed = call.unlinkat(above, name)
    const again = removed < 0 ? removed : call.mkdirat(above, name, OWNER_ALL)
    const opened = again < 0 ? again : call.openat(above, name, OPEN_FOLDER, 0)
    if (opened < 0) throw targetError('make the folder', shown, opened)
    return { fd: opened, isOld: false }
  }

  /** A folder of ours that its mode keeps us out of, as a restore has left it. */
  #openLocked(above: number, name: Buffer): number {
    const call = files()
    if (call.stat(above, name, this.#stat) < 0 || !isFolder(this.#stat.mode)) return -EACCES
    const handle = call.openat(above, name, OPEN_HANDLE | constants.O_DIRECTORY, 0)
    if (handle < 0) return handle
    const changed = call.chmod(Buffer.from(`/proc/self/fd/${handle}`), OWNER_ALL)
    call.close(handle)
    return changed < 0 ? changed : call.openat(above, name, OPEN_FOLDER, 0)
  }

  /** Lets us in where the mode of the backup would not, and removes what a killed run has left. */
  #prepareOld(fd: number): void {
    const call = files()
    call.fstat(fd, this.#stat)
    if ((this.#stat.mode & OWNER_ALL) !== OWNER_ALL) call.fchmod(fd, (this.#stat.mode & 0o7777) | OWNER_ALL)
    removeTemporary(fd)
  }

  /** The folder above, from the one below it. It must be the one that was left. */
  #reopen(above: Level, below: number): void {
    const fd = files().openat(below, PARENT, OPEN_FOLDER, 0)
    if (fd < 0) throw targetError('go up from', escapeName(this.path), fd)
    if (this.#identify(fd) !== above.identity) {
      files().close(fd)
      throw new TargetError(`${escapeName(this.path)}: somebody has moved this folder away meanwhile; nothing more is written`, {
        remedy: 'Restore into a folder that nobody else changes.',
      })
    }
    above.fd = fd
  }

  #identify(fd: number): string {
    files().fstat(fd, this.#stat)
    return this.#stat.identity
  }
}

/** Removes files that a killed run has left half-written in a folder. */
export function removeTemporary(fd: number): void {
  let names: Buffer[]
  try {
    names = readdirSync(`/proc/self/fd/${fd}`, { encoding: 'buffer' })
  } catch {
    return
  }
  for (const name of names) if (isTemporary(name)) files().unlinkat(fd, name)
}


function isFolder(mode: number): boolean {
  return (mode & 0o170000) === 0o040000
}

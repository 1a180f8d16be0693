import { close, constants, fdatasync, fstatSync, fsync, ftruncate, open, read, rmSync, write, type Stats } from 'node:fs'
import { promisify } from 'node:util'
import { nameOfErrno } from '../errors/errno.js'
import { TargetError } from '../errors/errors.js'
import { escapeName } from '../bytes/names.js'
import { files } from '../posix/files.js'
import { claimFile, type FileUser } from '../posix/file-users.js'
import { findLockHolder } from '../posix/lock-holder.js'
import { tryLock } from '../posix/flock.js'

const openFile = promisify(open)
const closeFile = promisify(close)
const syncFile = promisify(fdatasync)
const syncAll = promisify(fsync)
const truncateFile = promisify(ftruncate)

/** A file that is written at any place. What was not synced may be lost with the power, in any part. */
export interface BlockFile {
  /** Bytes; left out where nothing can be cut off. */
  readonly size?: number
  /** All of `into`, or an error; behind the end there are zeros. */
  read(into: Uint8Array, offset: number): Promise<void>
  write(bytes: Uint8Array, offset: number): Promise<void>
  /** Makes a range read as zeros, without taking room where that can be. */
  zero(offset: number, length: number): Promise<void>
  /** Everything written before is on the disk when it resolves. */
  sync(): Promise<void>
  /** Lets go of what is in memory of a range and was synced, so that the next read asks the disk. */
  forget?(offset: number, length: number): Promise<void>
  close(): Promise<void>
}

const ZEROS = Buffer.alloc(1024 * 1024)

/** A file or block device of this host. */
export class SystemFile implements BlockFile {
  readonly #fd: number
  readonly #path: string
  /** Why what was written is not all on the disk. */
  #lost: TargetError | undefined

  private constructor(fd: number, path: string) {
    this.#fd = fd
    this.#path = path
  }

  /** `flags` as of open(2). Rejects with TargetError. */
  static async open(path: Buffer, flags: number): Promise<SystemFile> {
    const shown = escapeName(path)
    try {
      return new SystemFile(await openFile(path, flags, 0o600), shown)
    } catch (error) {
      throw failure('open', shown, error)
    }
  }

  /** Makes the names in a folder last. Rejects with TargetError. */
  static async syncFolder(path: Buffer): Promise<void> {
    const folder = await SystemFile.open(path, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await syncAll(folder.#fd)
    } catch (error) {
      throw failure('write', folder.#path, error)
    } finally {
      await folder.close()
    }
  }

  /** Takes a file away, if it is there. */
  static remove(path: Buffer): void {
    rmSync(path, { force: true })
  }

  /** Bytes; of a block device, too. */
  get size(): number {
    return files().seekEnd(this.#fd)
  }

  get stat(): Stats {
    return fstatSync(this.#fd)
  }

  /** False: somebody else has it locked. It stays ours until it is closed. */
  lock(kind: 'shared' | 'exclusive' = 'exclusive'): boolean {
    return tryLock(this.#fd, kind) === undefined
  }

  /** undefined: it is ours until it is closed. Else who uses it. */
  claim(): FileUser | undefined {
    return claimFile(this.#fd, this.stat)
  }

  /** The process that has it locked, as far as that can be told. */
  lockHolder(): number | undefined {
    return findLockHolder(this.#fd)
  }

  async truncate(size: number): Promise<void> {
    try {
      await truncateFile(this.#fd, size)
    } catch (error) {
      throw failure('set the size of', this.#path, error)
    }
  }

  async read(into: Uint8Array, offset: number): Promise<void> {
    for (let at = 0; at < into.length; ) {
      const count = await new Promise<number>((resolve, reject) => {
        read(this.#fd, into, at, into.length - at, offset + at, (error, done) => (error === null ? resolve(done) : reject(failure('read', this.#path, error))))
      })
      if (count === 0) {
        into.fill(0, at)
        return
      }
      at += count
    }
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      at += await new Promise<number>((resolve, reject) => {
        write(this.#fd, bytes, at, bytes.length - at, offset + at, (error, done) => (error === null ? resolve(done) : reject(failure('write', this.#path, error))))
      })
    }
  }

  async zero(offset: number, length: number): Promise<void> {
    if (files().punchHole(this.#fd, offset, length) >= 0) return
    for (let done = 0; done < length; done += ZEROS.length) {
      await this.write(ZEROS.subarray(0, Math.min(ZEROS.length, length - done)), offset + done)
    }
  }

  async sync(): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost
    try {
      await syncFile(this.#fd)
    } catch (error) {
      // The kernel tells this once, and takes what it could not write for written then: no later sync means anything.
      this.#lost = failure('write', this.#path, error)
      throw this.#lost
    }
  }

  forget(offset: number, length: number): Promise<void> {
    files().dropCache(this.#fd, offset, length)
    return Promise.resolve()
  }

  close(): Promise<void> {
    return closeFile(this.#fd)
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: 'Free space there; what was written so far is kept.',
  EROFS: 'It is mounted read-only: remount it read-write, or choose another place for what is written.',
  EACCES: 'This user may not: choose another place for what is written, or run pbsfs as its owner.',
  EDQUOT: 'Free space there, or have the quota raised; what was written so far is kept.',
}

function failure(operation: string, path: string, error: unknown): TargetError {
  const { errno, code } = error as NodeJS.ErrnoException
  const name = errno === undefined ? (code ?? 'EIO') : nameOfErrno(errno)
  const remedy = REMEDIES[name]
  const fields = { path, operation, code: name, ...(remedy === undefined ? {} : { remedy }) }
  return new TargetError(`${path}: cannot ${operation} (${name})`, fields, { cause: error })
}

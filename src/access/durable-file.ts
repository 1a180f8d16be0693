import {
  closeSync, constants, fstatSync, fsyncSync, mkdirSync, openSync, readdirSync, readSync, renameSync, writeSync,
} from 'node:fs' // prettier-ignore
import { dirname } from 'node:path'
import { SourceError } from '../errors/errors.js'
import { tryLock } from '../posix/flock.js'
import { fsError, sourceError } from '../source/fs-paths.js'

const FOLDER_MODE = 0o700
const FILE_MODE = 0o600

/** What is asked of a file system to keep a file; a parameter, so that a test can end before any step. Each throws SourceError. */
export interface FileSteps {
  /** Is it a new folder? */
  makeFolder(path: string): boolean
  /** Opens for writing; what was in it is gone. */
  create(path: string): number
  write(fd: number, bytes: Uint8Array, path: string): void
  sync(fd: number, path: string): void
  close(fd: number): void
  rename(from: string, to: string): void
  /** Makes the names in a folder last. */
  syncFolder(path: string): void
  /** undefined: no such file. Longer ones are an error. */
  read(path: string, maxBytes: number): Uint8Array | undefined
  /** Empty: no such folder. */
  list(path: string): string[]
  /** Makes the file when it is missing, and locks it until `release`, or until this process ends. undefined: somebody else has it. */
  lock(path: string): Lock | undefined
}

export interface Lock {
  release(): void
}

/**
 * Replaces the file so that at any moment, whatever ends this process or the machine, it has the old content or the new
 * one; when this returns, the new one. Only one process at a time may do this with a path. SourceError.
 */
export function writeDurably(steps: FileSteps, path: string, bytes: Uint8Array): void {
  // Whoever ended halfway left one behind: it is written anew.
  const temporary = `${path}.tmp`
  const fd = steps.create(temporary)
  try {
    steps.write(fd, bytes, temporary)
    steps.sync(fd, temporary)
  } finally {
    steps.close(fd)
  }
  steps.rename(temporary, path)
  steps.syncFolder(dirname(path))
}

/**
 * Makes a folder and those above it; when this returns, they last, also those that somebody made who ended before he
 * could see to that. SourceError.
 */
export function makeFolders(steps: FileSteps, path: string): void {
  const parent = dirname(path)
  if (parent === path) return
  makeFolders(steps, parent)
  const isNew = steps.makeFolder(path)
  try {
    steps.syncFolder(parent)
  } catch (error) {
    // One that we may pass and not read was there before us.
    if (isNew || !(error instanceof SourceError) || error.fields['code'] !== 'EACCES') throw error
  }
}

/** On the file systems of this machine. */
export const fileSteps: FileSteps = {
  makeFolder: (path) => {
    try {
      mkdirSync(path, { mode: FOLDER_MODE })
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
      throw fsError(error, 'mkdir', path)
    }
  },
  create: (path) => attempt('create', path, () => openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, FILE_MODE)),
  write: (fd, bytes, path) => {
    for (let at = 0; at < bytes.length; ) at += attempt('write', path, () => writeSync(fd, bytes, at))
  },
  sync: (fd, path) => attempt('fsync', path, () => fsyncSync(fd)),
  close: (fd) => closeSync(fd),
  rename: (from, to) => attempt('rename', to, () => renameSync(from, to)),
  syncFolder: (path) => {
    const fd = attempt('open', path, () => openSync(path, constants.O_RDONLY | constants.O_DIRECTORY))
    try {
      attempt('fsync', path, () => fsyncSync(fd))
    } finally {
      closeSync(fd)
    }
  },
  read: (path, maxBytes) => {
    const fd = attempt('open', path, () => openIfThere(path))
    if (fd === undefined) return undefined
    try {
      const stat = fstatSync(fd)
      if (!stat.isFile()) throw sourceError('not a regular file', 'read', path, 'ENXIO')
      if (stat.size > maxBytes) throw sourceError(`has ${stat.size} bytes, and never more than ${maxBytes}`, 'read', path, 'EFBIG')
      const bytes = Buffer.alloc(stat.size)
      const length = attempt('read', path, () => readSync(fd, bytes, 0, bytes.length, 0))
      return bytes.subarray(0, length)
    } finally {
      closeSync(fd)
    }
  },
  list: (path) =>
    attempt('list', path, () => {
      try {
        return readdirSync(path)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
        throw error
      }
    }),
  lock: lockFile,
}

function lockFile(path: string): Lock | undefined {
  const fd = attempt('lock', path, () => openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK, FILE_MODE))
  const refused = tryLock(fd, 'exclusive')
  if (refused === undefined) return { release: () => closeSync(fd) }
  closeSync(fd)
  if (refused === 'EAGAIN') return undefined
  throw sourceError(`cannot be locked (${refused})`, 'lock', path, refused)
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function attempt<T>(operation: string, path: string, step: () => T): T {
  try {
    return step()
  } catch (error) {
    throw fsError(error, operation, path)
  }
}

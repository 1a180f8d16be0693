import { closeSync, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { FormatError, TruncatedError } from '../errors/errors.js'
import { fsError, OPEN_FLAGS, showPath, sourceError, type FsPath } from './fs-paths.js'

export interface ReadFile {
  /** Owns its memory alone: may be transferred to another thread. */
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly stats: Stats
}

/**
 * Reads a regular file of at most `maxBytes`. Symbolic links and everything that is no regular
 * file are refused. Throws SourceError, FormatError (too large), TruncatedError (it shrank).
 */
export function readRegularFile(path: FsPath, maxBytes: number): ReadFile {
  const fd = openRegular(path)
  try {
    const stats = statOpen(fd, path)
    if (stats.size > maxBytes) {
      throw new FormatError(`${showPath(path)}: too large (${stats.size} bytes, at most ${maxBytes})`, {
        stream: showPath(path),
        expected: `at most ${maxBytes} bytes`,
        actual: stats.size,
      })
    }
    const bytes = new Uint8Array(stats.size)
    const length = readFully(fd, bytes, stats.size, path)
    if (length < stats.size) throw shrank(path, stats.size, length)
    return { bytes, stats }
  } finally {
    closeSync(fd)
  }
}

/** Up to `length` bytes of a regular file from `offset`; fewer only at its end. Throws SourceError. */
export function readFilePart(path: FsPath, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const fd = openRegular(path)
  try {
    const there = Math.max(0, Math.min(length, statOpen(fd, path).size - offset))
    const bytes = new Uint8Array(there)
    const got = readFully(fd, bytes, there, path, offset)
    return got === there ? bytes : bytes.slice(0, got)
  } finally {
    closeSync(fd)
  }
}

function openRegular(path: FsPath): number {
  try {
    return openSync(path, OPEN_FLAGS)
  } catch (error) {
    throw fsError(error, 'open', path)
  }
}

/** fstat that insists on a regular file. */
export function statOpen(fd: number, path: FsPath): Stats {
  let stats: Stats
  try {
    stats = fstatSync(fd)
  } catch (error) {
    throw fsError(error, 'stat', path)
  }
  if (!stats.isFile()) throw sourceError('not a regular file', 'open', path, 'ENXIO')
  return stats
}

/** Reads up to `length` bytes from `offset` of the file; fewer only at its end. */
export function readFully(fd: number, into: Uint8Array, length: number, path: FsPath, offset = 0): number {
  let done = 0
  try {
    while (done < length) {
      const got = readSync(fd, into, done, length - done, offset + done)
      if (got === 0) break
      done += got
    }
  } catch (error) {
    throw fsError(error, 'read', path)
  }
  return done
}

export function shrank(path: FsPath, expected: number, actual: number): TruncatedError {
  return new TruncatedError(`${showPath(path)}: became shorter while it was read`, {
    stream: showPath(path),
    offset: actual,
    expected,
    actual,
  })
}

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { escapeName } from '../../bytes/names.js'
import { KeyError } from '../../errors/errors.js'

const BLOCK_SIZE = 64 * 1024

/** A file that holds a secret, and who may read it. */
export interface SecretFile {
  /** The caller zeroes them. */
  readonly bytes: Buffer
  /** Permission bits when others than the owner may read a file; undefined: they may not, or it is a pipe. */
  readonly openMode: number | undefined
}

/** Reads a file or pipe of at most `maxBytes`. KeyError says why not. */
export function readSecretFile(path: Uint8Array, maxBytes: number): SecretFile {
  const name = escapeName(path)
  let fd: number
  try {
    fd = openSync(Buffer.from(path), 'r')
  } catch (error) {
    throw unreadable(name, error)
  }
  try {
    return readSecretFd(fd, name, maxBytes)
  } finally {
    closeSync(fd)
  }
}

/** The same of an open descriptor, which stays open. */
export function readSecretFd(fd: number, name: string, maxBytes: number): SecretFile {
  try {
    const stats = fstatSync(fd)
    if (stats.isDirectory()) throw new KeyError(`${name}: a folder, not a file`, { path: name })
    const openMode = stats.isFile() && (stats.mode & 0o044) !== 0 ? stats.mode & 0o777 : undefined
    return { bytes: readAll(fd, name, maxBytes), openMode }
  } catch (error) {
    throw error instanceof KeyError ? error : unreadable(name, error)
  }
}

function readAll(fd: number, name: string, maxBytes: number): Buffer {
  let bytes = Buffer.alloc(0)
  const block = Buffer.alloc(BLOCK_SIZE)
  try {
    for (;;) {
      const length = readSync(fd, block, 0, block.length, null)
      if (length === 0) return bytes
      const grown = Buffer.concat([bytes, block.subarray(0, length)])
      bytes.fill(0)
      bytes = grown
      if (bytes.length > maxBytes) throw new KeyError(`${name}: too large, more than ${maxBytes} bytes`, { path: name })
    }
  } finally {
    block.fill(0)
  }
}

function unreadable(name: string, error: unknown): KeyError {
  const code = (error as NodeJS.ErrnoException).code ?? 'EIO'
  const why = code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'permission denied' : code
  return new KeyError(`${name}: cannot be read: ${why}`, { path: name })
}

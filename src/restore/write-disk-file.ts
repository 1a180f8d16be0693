import { closeSync, constants, fsyncSync, openSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { UsageError } from '../errors/errors.js'
import { CREATE_FILE, EEXIST, emptyStat, files } from '../posix/files.js'
import { targetError } from './target-error.js'
import { temporaryName } from './temporary-name.js'

const PRIVATE = 0o600

/** A file that is being written, under a name of its own. */
export interface UnfinishedFile {
  readonly fd: number
  /** Descriptor of the folder it is in, and its name there. */
  readonly folderFd: number
  readonly name: Buffer
}

/**
 * Makes a file with what `write` puts into it. It gets its name when it is complete and on the disk, and nothing is left
 * when it does not come to that. UsageError when something has the name already, unless it may be replaced.
 */
export async function writeDiskFile(folder: Buffer, name: Buffer, overwrite: boolean, write: (file: UnfinishedFile) => Promise<void>): Promise<void> {
  const shown = escapeName(Buffer.concat([folder, Buffer.from('/'), name]))
  const folderFd = openFolder(folder)
  const call = files()
  const temporary = temporaryName()
  try {
    const fd = call.openat(folderFd, temporary, CREATE_FILE, PRIVATE)
    if (fd < 0) throw targetError('make the file', shown, fd)
    try {
      await write({ fd, folderFd, name: temporary })
      sync(fd, shown)
      place(folderFd, temporary, name, overwrite, shown)
      sync(folderFd, shown)
    } finally {
      closeSync(fd)
      call.unlinkat(folderFd, temporary)
    }
  } finally {
    closeSync(folderFd)
  }
}

function openFolder(folder: Buffer): number {
  try {
    return openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (error) {
    const { code, errno } = error as NodeJS.ErrnoException
    const shown = escapeName(folder)
    if (code === 'ENOENT') throw new UsageError(`${shown}: the folder does not exist`, { remedy: 'Make it first, or choose another target.' })
    throw targetError('open the folder', shown, errno ?? -5)
  }
}

function place(folderFd: number, temporary: Buffer, name: Buffer, overwrite: boolean, shown: string): void {
  const call = files()
  if (!overwrite) {
    const linked = call.linkat(folderFd, temporary, folderFd, name)
    if (linked === -EEXIST) throw isThere(shown)
    if (linked >= 0) return
    // A file system without hard links.
    if (call.stat(folderFd, name, emptyStat()) >= 0) throw isThere(shown)
  }
  const renamed = call.renameat(folderFd, temporary, name)
  if (renamed < 0) throw targetError('give the file its name', shown, renamed)
}

/** Something has the name that a file is to get. */
export function isThere(shown: string): UsageError {
  return new UsageError(`${shown} is there already`, { remedy: 'Choose another name; --overwrite replaces it.' })
}

function sync(fd: number, shown: string): void {
  try {
    fsyncSync(fd)
  } catch (error) {
    const { code, errno } = error as NodeJS.ErrnoException
    // Folders of some file systems know no such thing.
    if (code !== 'EINVAL') throw targetError('write', shown, errno ?? -5)
  }
}

import { closeSync, constants, lstatSync, mkdirSync, openSync, readdirSync, realpathSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { BusyError, UsageError } from '../errors/errors.js'
import { emptyStat, files } from '../posix/files.js'
import { tryLock } from '../posix/flock.js'
import { targetError } from './target-error.js'
import type { Target } from './restore-tree.js'
import { TimeStep } from './time-step.js'

export interface OpenTarget extends Target {
  /** Canonical, escaped nowhere. */
  readonly path: Buffer
  /** Device and inode. */
  readonly identity: string
  readonly isEmpty: boolean
  close(): void
}

const OWNER_ALL = 0o700

/**
 * Opens the folder a tree is restored into, and makes it when it is missing (the one above must be there). Nobody else
 * may be restoring into it, unless single files are (`shared`): BusyError. In a dry run nothing is made.
 */
export function openTarget(path: Buffer, dryRun: boolean, lock: 'exclusive' | 'shared' = 'exclusive'): OpenTarget {
  const shown = escapeName(path)
  let isOld = true
  if (!dryRun) {
    try {
      mkdirSync(path, { mode: OWNER_ALL })
      isOld = false
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw makeError(error, shown)
    }
  }
  let fd: number
  try {
    // The target itself may be reached through links: that is its owner's choice.
    fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (dryRun && code === 'ENOENT') {
      return { fd: -1, isOld: false, times: new TimeStep(0, 0), path, identity: '', isEmpty: true, close: () => undefined }
    }
    if (code === 'ENOTDIR') throw new UsageError(`${shown} is not a folder; a tree is restored into one`)
    throw makeError(error, shown)
  }
  try {
    const held = dryRun ? undefined : tryLock(fd, lock)
    if (held === 'EAGAIN') throw new BusyError(`${shown}: another restore is writing there`, { path: shown })
    const stat = emptyStat()
    files().fstat(fd, stat)
    return {
      fd,
      isOld,
      times: dryRun ? new TimeStep(0, 0) : TimeStep.of(fd),
      path: realpathSync.native(path, { encoding: 'buffer' }),
      identity: stat.identity,
      isEmpty: isEmptyFolder(path),
      close: () => closeSync(fd),
    }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/** A folder that holds nothing but what every new file system has. */
function isEmptyFolder(path: Buffer): boolean {
  return readdirSync(path).every((name) => name === 'lost+found')
}

function makeError(error: unknown, shown: string): Error {
  const { code, errno } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return new UsageError(`${shown}: the folder above does not exist`, { remedy: 'Make it first, or choose another target.' })
  return targetError('make or open the folder', shown, errno ?? -5)
}

/** What is at a path; a link counts as what it leads to. */
export function kindOfTarget(path: Buffer): 'missing' | 'folder' | 'file' | 'device' | 'other' {
  try {
    const stat = lstatSync(path).isSymbolicLink() ? lstatSync(realpathSync.native(path, { encoding: 'buffer' })) : lstatSync(path)
    return stat.isDirectory() ? 'folder' : stat.isFile() ? 'file' : stat.isBlockDevice() ? 'device' : 'other'
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'missing'
    throw targetError('look at', escapeName(path), (error as NodeJS.ErrnoException).errno ?? -5)
  }
}

import { closeSync, constants, lstatSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { TargetError } from '../errors/errors.js'
import { tryLock } from '../posix/flock.js'

const PREFIX = 'pbsfs-boot-'
const NAME = /^pbsfs-boot-[A-Za-z0-9]{6}$/

/** A folder that is younger may not be locked yet by the one who made it. */
const YOUNG_MS = 60_000

/** A folder for this user alone, for what is written to disks that nobody keeps. */
export interface ScratchFolder {
  readonly path: string
  /** Removes it with all that is in it. */
  remove(): void
}

/** Makes one in `parent`, and removes those whose makers are gone. TargetError when it cannot be made. */
export function makeScratchFolder(parent: string): ScratchFolder {
  removeAbandoned(parent)
  let path: string
  try {
    path = mkdtempSync(join(parent, PREFIX))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const remedy = 'Name a folder with --overlay; what is written to the disks lands in it.'
    throw new TargetError(`${parent}: cannot make a folder there (${code})`, { path: parent, operation: 'make a folder', code, remedy }, { cause: error })
  }
  const fd = openFolder(path)
  tryLock(fd, 'exclusive')
  return {
    path,
    remove: () => {
      rmSync(path, { recursive: true, force: true })
      closeSync(fd)
    },
  }
}

/** Who is killed leaves gigabytes behind. */
function removeAbandoned(parent: string): void {
  for (const name of listFolder(parent)) {
    const path = join(parent, name)
    const stat = NAME.test(name) ? lstatSync(path, { throwIfNoEntry: false }) : undefined
    if (stat === undefined || !stat.isDirectory() || stat.uid !== process.geteuid?.() || Date.now() - stat.mtimeMs < YOUNG_MS) continue
    try {
      const fd = openFolder(path)
      if (tryLock(fd, 'exclusive') === undefined) rmSync(path, { recursive: true, force: true })
      closeSync(fd)
    } catch {
      // Another one is just removing it.
    }
  }
}

function listFolder(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

function openFolder(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
}

import { readlinkSync, renameSync, unlinkSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

const STDERR_LINK = '/proc/self/fd/2'

/**
 * The starter opened our stderr under its own number, since ours was not known: gives the file
 * our name and returns its path. undefined when stderr is something else.
 */
export function adoptStartLog(): string | undefined {
  const path = readLink()
  if (path === undefined || !/^start-\d+\.log$/.test(basename(path))) return undefined
  const own = join(dirname(path), `mount-${process.pid}.log`)
  try {
    renameSync(path, own)
    return own
  } catch {
    return undefined
  }
}

/** Removes the log of a daemon that has nothing left to tell. */
export function removeStartLog(path: string | undefined): void {
  if (path === undefined) return
  try {
    unlinkSync(path)
  } catch {
    // Gone already.
  }
}

function readLink(): string | undefined {
  try {
    return readlinkSync(STDERR_LINK)
  } catch {
    return undefined
  }
}

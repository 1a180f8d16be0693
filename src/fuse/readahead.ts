import { readFileSync, writeFileSync } from 'node:fs'
import { findMountAt } from './mountinfo.js'

/** Window the kernel reads ahead in one file: several requests of 1 MiB in flight. */
export const READAHEAD_KIB = 8192

/**
 * Raises the read-ahead window of the mount on `path`; files opened before keep theirs. Returns
 * the window in force in KiB, or undefined when it cannot be seen. Only root may raise it: for
 * others nothing changes.
 */
export function raiseReadahead(path: Uint8Array, kib: number = READAHEAD_KIB): number | undefined {
  const entry = findMountAt(path)
  if (entry === undefined) return undefined
  const file = `/sys/class/bdi/${entry.major}:${entry.minor}/read_ahead_kb`
  let current: number
  try {
    current = Number(readFileSync(file, 'latin1').trim())
  } catch {
    return undefined
  }
  if (current >= kib) return current
  try {
    writeFileSync(file, String(kib))
    return kib
  } catch {
    return current
  }
}

import { UnsupportedError } from '../errors/errors.js'
import type { NodeId } from './tree.js'

/**
 * A node number says where the node is, so that nothing has to be remembered about it:
 *
 *     hi: archive (18 bits) | directory (1 bit) | offset / 2^32 (13 bits)     lo: offset mod 2^32
 *
 * Archive 0 holds the nodes above the archives, whose "offset" is a number given to their path.
 * In an archive a file is named by the offset of its FILENAME item, a directory by the end of
 * its goodbye table; both are unique in the archive and never change.
 */
const ARCHIVE_SHIFT = 2 ** 14
const DIRECTORY = 2 ** 13
const OFFSET_HI = DIRECTORY - 1
const TWO_32 = 2 ** 32

/** Largest archive number. */
export const MAX_ARCHIVES = 2 ** 18 - 1

/** Largest offset in an archive's metadata: 32 TiB. */
export const MAX_OFFSET = 2 ** 45 - 1

export function nodeHi(archive: number, directory: boolean, offset: number): number {
  return archive * ARCHIVE_SHIFT + (directory ? DIRECTORY : 0) + Math.floor(offset / TWO_32)
}

export function nodeLo(offset: number): number {
  return offset >>> 0
}

export function archiveOf(hi: number): number {
  return Math.floor(hi / ARCHIVE_SHIFT)
}

export function isDirectory(hi: number): boolean {
  return (hi & DIRECTORY) !== 0
}

export function offsetOf(id: NodeId): number {
  return (id.hi & OFFSET_HI) * TWO_32 + id.lo
}

/** Archives longer than a node number can address are refused when they are opened. */
export function checkArchiveSize(name: string, size: number): void {
  if (size > MAX_OFFSET) {
    throw new UnsupportedError(`${name}: archives above 32 TiB of metadata cannot be shown`, {
      stream: name,
      actual: size,
      expected: MAX_OFFSET,
    })
  }
}

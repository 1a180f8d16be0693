import { readdirSync } from 'node:fs'
import { bytesOfKey, escapeName, keyOf } from '../bytes/names.js'
import { joinBytes } from '../bytes/paths.js'
import { FormatError } from '../errors/errors.js'
import type { GroupRef, Namespace, Skipped, SnapshotRef } from './datastore.js'
import { errorCode, fsError, joinPath, linkError, sourceError, statEntry, type FsPath } from './fs-paths.js'
import { isSafeId, MAX_NAMESPACE_DEPTH, MAX_NAMESPACE_LENGTH } from './names.js'
import { parseSnapshotTime } from './snapshot-time.js'

/** Folders of a datastore by what they mean. All paths are relative to the store, in ASCII. */

export function namespacePath(ns: Namespace): string {
  if (ns.length > MAX_NAMESPACE_DEPTH || ns.join('/').length > MAX_NAMESPACE_LENGTH) {
    throw invalidName(`namespace ${escapeName(ns.join('/'))}`, `at most ${MAX_NAMESPACE_DEPTH} levels`)
  }
  for (const name of ns) if (!isSafeId(name)) throw invalidName(`namespace ${escapeName(name)}`, 'a namespace name')
  return ns.map((name) => `ns/${name}`).join('/')
}

export function groupPath(group: GroupRef): string {
  if (!isSafeId(group.id)) throw invalidName(`group ${escapeName(group.id)}`, 'a backup id')
  return within(namespacePath(group.ns), `${group.type}/${group.id}`)
}

export function snapshotPath(snapshot: SnapshotRef): string {
  if (parseSnapshotTime(snapshot.time) === undefined) throw invalidName(`snapshot ${escapeName(snapshot.time)}`, 'a time')
  return `${groupPath(snapshot.group)}/${snapshot.time}`
}

export function within(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`
}

function invalidName(what: string, expected: string): FormatError {
  return new FormatError(`${what}: not a valid name`, { stream: what, expected, actual: 'another name' })
}

/**
 * Throws unless every folder on the way is a real directory: a link in the middle would lead out
 * of the store. `relative` is one of the paths made above.
 */
export function requireFolders(base: FsPath, relative: string): void {
  for (let end = relative.indexOf('/'); relative !== ''; end = relative.indexOf('/', end + 1)) {
    const part = end < 0 ? relative : relative.slice(0, end)
    const path = joinPath(base, part)
    const stats = statEntry(path)
    if (stats === undefined) throw sourceError('no such file or directory', 'open', path, 'ENOENT')
    if (!stats.isDirectory()) {
      if (stats.isSymbolicLink()) throw linkError(path)
      throw sourceError('not a directory', 'open', path, 'ENOTDIR')
    }
    if (end < 0) return
  }
}

export interface FolderNames {
  readonly names: readonly string[]
  readonly skipped: readonly Skipped[]
}

/**
 * Names of the real directories in a folder for which `accept` says yes. What it refuses without
 * a reason is passed over in silence; a reason, and an accepted name that is no directory, end in
 * `skipped`. A folder that does not exist is empty.
 */
export function listFolders(base: FsPath, relative: string, accept: (name: string) => true | undefined | string): FolderNames {
  const path = joinPath(base, relative)
  const names: string[] = []
  const skipped: Skipped[] = []
  for (const entry of readEntries(path)) {
    const verdict = accept(entry.name)
    if (verdict === undefined) continue
    if (verdict === true && entry.isDirectory()) {
      names.push(entry.name)
      continue
    }
    const reason = verdict !== true ? verdict : entry.isSymbolicLink() ? 'a symbolic link' : 'not a directory'
    skipped.push({ path: escapeName(bytesOfKey(within(relative, entry.name))), reason })
  }
  return { names, skipped }
}

interface Entry {
  /** One code unit a byte. */
  readonly name: string
  isDirectory(): boolean
  isSymbolicLink(): boolean
}

function readEntries(path: FsPath): readonly Entry[] {
  try {
    // The file type comes with the name; where the file system does not tell, node asks lstat.
    return readdirSync(path, { encoding: 'latin1', withFileTypes: true })
  } catch (error) {
    if (statEntry(path) === undefined) return []
    if (errorCode(error) === 'ENOENT') return statEntries(path)
    throw fsError(error, 'list', path)
  }
}

/**
 * For a file system that gives no types, when the lstat of one entry failed and took the listing
 * with it: the entry vanished, or its name is not UTF-8.
 */
function statEntries(path: FsPath): Entry[] {
  let names: Buffer[]
  try {
    names = readdirSync(path, 'buffer')
  } catch (error) {
    throw fsError(error, 'list', path)
  }
  const entries: Entry[] = []
  for (const name of names) {
    const stats = statEntry(joinBytes(Buffer.from(path), name))
    if (stats === undefined) continue
    entries.push({ name: keyOf(name), isDirectory: () => stats.isDirectory(), isSymbolicLink: () => stats.isSymbolicLink() })
  }
  return entries
}

import { realpath, stat } from 'node:fs/promises'
import type { Stats } from 'node:fs'
import { bytesOfKey, escapeName, keyOf } from '../bytes/names.js'
import { joinBytes } from '../bytes/paths.js'
import { messageOf, SourceError, UsageError } from '../errors/errors.js'
import {
  DEFAULT_CONFIG_DIR, isStoreName, maintenanceProblem, readDatastoreConfig, type ConfiguredStore,
} from './datastore-config.js' // prettier-ignore
import { errorCode, fsError, joinPath, showPath, sourceError, statEntry, toFsPath, type FsPath } from './fs-paths.js'
import { CHUNK_FOLDER } from './names.js'
import { parseInside, parseSelector, type Selector, type SourceText } from './source-string.js'

/** What SOURCE turned out to be. Paths are absolute, without links. */
export type ResolvedSource = StoreSource | ArchiveSource

export interface StoreSource {
  readonly kind: 'store'
  readonly path: FsPath
  /** The whole store when nothing was selected. */
  readonly selector: Selector
  /** How this host has the store configured, if it has and we may know. */
  readonly configured: ConfiguredStore | undefined
  /** Why that is not known: there is a configuration, but it cannot be read. */
  readonly configProblem: string | undefined
  /** Why the store should not be read now; the caller refuses or, forced, warns. */
  readonly maintenance: string | undefined
}

/** An archive outside any datastore: [file], or [metadata, payload]. */
export interface ArchiveSource {
  readonly kind: 'archive'
  readonly files: readonly FsPath[]
  readonly inside: Buffer | undefined
}

export interface ResolveOptions {
  /** Folder that relative paths start from; absent: the process's own. */
  readonly cwd?: Uint8Array
  readonly configDir?: string
  /** The `.ppxar` of a lone `.mpxar` that does not lie beside it. */
  readonly payloadInput?: Uint8Array
}

/**
 * Finds out what SOURCE means: a datastore, a part of one (folder or index file inside it), a
 * lone archive, or the name of a store configured on this host.
 * Throws UsageError or SourceError, each a sentence for the user.
 */
export async function resolveSource(source: SourceText, options: ResolveOptions = {}): Promise<ResolvedSource> {
  const configDir = options.configDir ?? DEFAULT_CONFIG_DIR
  const given = toFsPath(absolute(source.path, options.cwd))
  const stats = await statGiven(given)
  if (stats === undefined) return resolveStoreName(given, source, configDir)
  const path = toFsPath(await realpath(given, 'buffer'))
  if (stats.isFile()) {
    const payload = options.payloadInput === undefined ? undefined : absolute(options.payloadInput, options.cwd)
    const archive = await resolveArchive(path, source, payload)
    if (archive !== undefined) return archive
  } else if (!stats.isDirectory()) {
    throw sourceError('neither a directory nor a file', 'open', given, 'ENXIO')
  }
  const found = findStoreAbove(path, stats.isDirectory())
  if (found === undefined) throw notInStore(path, stats.isFile())
  const selector = joinSelectors(found.relative, source.selector)
  const { configured, problem } = findConfigured(found.base, configDir)
  return openStoreSource(found.base, selector, configured, problem)
}

function absolute(path: Uint8Array, cwd: Uint8Array | undefined): Uint8Array {
  return cwd === undefined || path[0] === 0x2f ? path : joinBytes(cwd, path)
}

async function statGiven(path: FsPath): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw fsError(error, 'open', path)
  }
}

function resolveStoreName(given: FsPath, source: SourceText, configDir: string): StoreSource {
  const name = keyOf(source.path)
  if (!isStoreName(name)) throw sourceError('no such file or directory', 'open', given, 'ENOENT')
  const stores = readDatastoreConfig(configDir)
  const store = stores.find((candidate) => candidate.name === name)
  if (store === undefined) {
    const known = stores.length === 0 ? '' : ` (configured here: ${stores.map((known) => known.name).join(', ')})`
    const problem = `no such file or directory, and no datastore of that name is configured on this host${known}`
    throw sourceError(problem, 'open', given, 'ENOENT')
  }
  const selector = source.selector === undefined ? { ns: [] } : parseSelector(source.selector)
  if (store.backingDevice !== undefined && statEntry(joinPath(store.path, CHUNK_FOLDER)) === undefined) {
    const problem = `the removable datastore ${name} (device ${store.backingDevice}) is not mounted`
    throw sourceError(problem, 'open', store.path, 'ENODEV')
  }
  return openStoreSource(store.path, selector, store)
}

function openStoreSource(
  path: FsPath,
  selector: Selector,
  configured: ConfiguredStore | undefined,
  configProblem?: string,
): StoreSource {
  return {
    kind: 'store',
    path,
    selector,
    configured,
    configProblem,
    maintenance: configured === undefined ? undefined : maintenanceProblem(configured),
  }
}

/** A lone archive; undefined for files that only mean something inside a datastore. */
async function resolveArchive(path: FsPath, source: SourceText, payloadInput?: Uint8Array): Promise<ArchiveSource | undefined> {
  const name = keyOf(Buffer.from(path))
  const inside = source.selector === undefined ? Buffer.alloc(0) : parseInside(stripColon(source.selector))
  const archive = (...files: FsPath[]): ArchiveSource => {
    return { kind: 'archive', files, inside: inside.length === 0 ? undefined : inside }
  }
  if (name.endsWith('.ppxar')) {
    throw new UsageError(`${showPath(path)} is the payload half of an archive: give the .mpxar that belongs to it`)
  }
  if (name.endsWith('.pxar')) return archive(path)
  if (!name.endsWith('.mpxar')) return undefined
  const payload = toFsPath(payloadInput ?? bytesOfKey(name.slice(0, -'.mpxar'.length) + '.ppxar'))
  try {
    await stat(payload)
  } catch (error) {
    const cause = fsError(error, 'open', payload)
    const hint = `It should be the payload of ${showPath(path)} (say where with --payload-input)`
    throw new SourceError(`${cause.message}. ${hint}`, cause.fields, { cause })
  }
  return archive(path, toFsPath(await realpath(payload, 'buffer')))
}

function stripColon(selector: Buffer): Buffer {
  return selector[0] === 0x3a ? selector.subarray(1) : selector
}

/** The nearest directory at or above `path` that has a chunk folder, and the way down from it. */
function findStoreAbove(path: FsPath, isDirectory: boolean): { base: FsPath; relative: string } | undefined {
  const names = keyOf(Buffer.from(path)).split('/')
  for (let length = isDirectory ? names.length : names.length - 1; length > 0; length--) {
    const base = toFsPath(bytesOfKey(names.slice(0, length).join('/') || '/'))
    if (statEntry(joinPath(base, CHUNK_FOLDER)) !== undefined) return { base, relative: names.slice(length).join('/') }
  }
  return undefined
}

/** A place inside the store as a path, and what the user selected below it. */
function joinSelectors(relative: string, selector: Buffer | undefined): Selector {
  const escaped = relative.replaceAll(/[\\:]/g, (char) => `\\x${char.charCodeAt(0).toString(16)}`)
  if (selector === undefined || selector.length === 0) return parseSelector(bytesOfKey(escaped))
  const isFile = /\.(?:fidx|didx|blob)$/.test(relative)
  const below = keyOf(isFile ? stripColon(selector) : selector).replace(/^\/+/, '')
  const separator = relative === '' ? '' : isFile ? ':' : '/'
  return parseSelector(bytesOfKey(escaped + separator + below))
}

function notInStore(path: FsPath, isFile: boolean): Error {
  const shown = showPath(path)
  if (isFile && /\.(?:fidx|didx)$/.test(shown)) {
    const problem = `there is no datastore around it (no folder above has ${CHUNK_FOLDER})`
    return new UsageError(`${shown} only lists chunks, and ${problem}`)
  }
  if (isFile) return new UsageError(`${shown} is neither a pxar archive nor a file of a datastore`)
  const problem = `not a datastore, nor inside one: neither it nor a folder above has ${CHUNK_FOLDER}`
  return sourceError(problem, 'open', path, 'ENOENT')
}

/** The configuration is for root and backup only: when it cannot be read, it is as if there were none. */
function findConfigured(base: FsPath, configDir: string): { configured: ConfiguredStore | undefined; problem?: string } {
  try {
    const own = statEntry(base)
    const configured = readDatastoreConfig(configDir).find((store) => {
      if (escapeName(Buffer.from(store.path)) === showPath(base)) return true
      const stats = statEntry(store.path)
      return own !== undefined && stats !== undefined && stats.dev === own.dev && stats.ino === own.ino
    })
    return { configured }
  } catch (error) {
    return { configured: undefined, problem: messageOf(error) }
  }
}

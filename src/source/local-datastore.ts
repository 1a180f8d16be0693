import { accessSync, constants, lstatSync, statSync, type Stats } from 'node:fs'
import { decodeBlobFile } from '../blob/decode.js'
import { MAX_BLOB_FILE_SIZE } from '../blob/data-blob.js'
import { escapeName } from '../bytes/names.js'
import { FormatError, SourceError } from '../errors/errors.js'
import type {
  Datastore, FileStamp, GroupInfo, GroupRef, Listing, LocalSourceDescriptor, Namespace,
  ServerPlace, Skipped, SnapshotEntry, SnapshotFile, SnapshotInfo, SnapshotLock, SnapshotManifest, SnapshotRef, StoreInfo,
} from './datastore.js' // prettier-ignore
import { errorCode, fsError, joinPath, linkError, showPath, sourceError, statEntry, toFsPath, type FsPath } from './fs-paths.js'
import { MAX_MANIFEST_SIZE, parseManifest, type Manifest } from './manifest.js'
import {
  BACKUP_TYPES, CHUNK_FOLDER, CLIENT_LOG_NAME, compareIds, isArchiveFileName, isSafeId, MANIFEST_NAME,
  MAX_NAMESPACE_DEPTH, MAX_NAMESPACE_LENGTH,
} from './names.js' // prettier-ignore
import { readFilePart, readRegularFile } from './read-file.js'
import { looksLikeS3Cache, S3_CACHE_REMARK } from './s3-cache.js'
import { SnapshotLocks } from './snapshot-locks.js'
import { isCanonicalSnapshotTime, parseSnapshotTime } from './snapshot-time.js'
import { groupPath, listFolders, namespacePath, requireFolders, snapshotPath, within } from './store-folders.js'

/** Bytes of a group's `owner` and `notes`. */
const MAX_OWNER_SIZE = 64 * 1024
const MAX_NOTES_SIZE = 1024 * 1024
/** Looks like the name of a snapshot folder. */
const SNAPSHOT_NAME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$/

export interface LocalStoreOptions {
  /** From the host's configuration; absent: found out from the folder when it matters. */
  readonly s3Cache?: boolean
}

/**
 * Opens a datastore directory. The path itself may be a symbolic link; nothing inside is followed.
 * Throws SourceError: no such directory, not a datastore, permission denied.
 */
export function openLocalDatastore(path: string | Uint8Array, options: LocalStoreOptions = {}): LocalDatastore {
  const base = toFsPath(path)
  let stats: Stats
  try {
    stats = statSync(base)
  } catch (error) {
    throw fsError(error, 'open', base)
  }
  if (!stats.isDirectory()) throw sourceError('not a directory, so not a datastore', 'open', base, 'ENOTDIR')
  const folder = joinPath(base, CHUNK_FOLDER)
  const chunks = statEntry(folder)
  if (chunks === undefined) {
    throw sourceError(`not a datastore: it has no folder ${CHUNK_FOLDER}`, 'open', base, 'ENOENT')
  }
  if (chunks.isSymbolicLink()) {
    throw linkError(folder, ' (put what it points to there with mount --bind)')
  }
  if (!chunks.isDirectory()) throw sourceError('not a directory, so this is no datastore', 'open', folder, 'ENOTDIR')
  return new LocalDatastore(base, options)
}

/**
 * A datastore directory. Every method does its work synchronously before it returns: meant for a
 * thread of its own (`openStoreThread`), so that slow storage blocks nobody else.
 */
export class LocalDatastore implements Datastore {
  readonly descriptor: LocalSourceDescriptor
  readonly #base: FsPath
  readonly #locks = new SnapshotLocks()
  #s3Cache: boolean | undefined

  constructor(base: FsPath, options: LocalStoreOptions) {
    this.#base = base
    this.#s3Cache = options.s3Cache
    this.descriptor = { kind: 'local', path: base, ...(options.s3Cache === undefined ? {} : { s3Cache: options.s3Cache }) }
  }

  async describe(): Promise<StoreInfo> {
    this.#s3Cache ??= looksLikeS3Cache(this.#base)
    const remarks: string[] = []
    if (this.#s3Cache) remarks.push(S3_CACHE_REMARK)
    const unreadable = this.#findUnreadable()
    if (unreadable !== undefined) remarks.push(unreadable.message)
    return { path: showPath(this.#base), s3Cache: this.#s3Cache, remarks, unreadable: unreadable?.code }
  }

  /** Why no chunk can be read, if that is so. */
  #findUnreadable(): { readonly code: string; readonly message: string } | undefined {
    const folder = joinPath(this.#base, CHUNK_FOLDER)
    try {
      accessSync(folder, constants.R_OK | constants.X_OK)
      return undefined
    } catch (error) {
      const code = errorCode(error)
      const hint = code === 'EACCES' ? ': it is for user and group "backup" only (uid and gid 34), or for root' : ''
      return { code, message: `${showPath(folder)} cannot be read (${code})${hint}. Names and sizes can be seen, contents cannot.` }
    }
  }

  async listNamespaces(ns: Namespace): Promise<Listing<string>> {
    const parent = namespacePath(ns)
    if (ns.length >= MAX_NAMESPACE_DEPTH) return { entries: [], skipped: [] }
    requireFolders(this.#base, parent)
    const folder = within(parent, 'ns')
    const stats = statEntry(joinPath(this.#base, folder))
    if (stats === undefined || !stats.isDirectory()) {
      this.#requireStore()
      return { entries: [], skipped: stats === undefined ? [] : [notAFolder(folder, stats)] }
    }
    const { names, skipped } = listFolders(this.#base, folder, (name) => {
      if (!isSafeId(name)) return 'not a namespace name'
      return [...ns, name].join('/').length > MAX_NAMESPACE_LENGTH ? 'namespace path too long' : true
    })
    return { entries: [...names].sort(compareNames), skipped }
  }

  async listGroups(ns: Namespace): Promise<Listing<GroupRef>> {
    const parent = namespacePath(ns)
    requireFolders(this.#base, parent)
    const entries: GroupRef[] = []
    const skipped: Skipped[] = []
    for (const type of BACKUP_TYPES) {
      const folder = within(parent, type)
      const stats = statEntry(joinPath(this.#base, folder))
      if (stats === undefined) continue
      if (!stats.isDirectory()) {
        skipped.push(notAFolder(folder, stats))
        continue
      }
      const found = listFolders(this.#base, folder, (name) => (isSafeId(name) ? true : 'not a backup id'))
      for (const id of [...found.names].sort(compareIds)) entries.push({ ns, type, id })
      skipped.push(...found.skipped)
    }
    if (entries.length === 0) this.#requireStore()
    return { entries, skipped }
  }

  async listSnapshots(group: GroupRef): Promise<Listing<SnapshotEntry>> {
    const folder = groupPath(group)
    requireFolders(this.#base, folder)
    const { names, skipped } = listFolders(this.#base, folder, (name) => (SNAPSHOT_NAME.test(name) ? true : undefined))
    const entries: SnapshotEntry[] = []
    const odd: Skipped[] = []
    for (const time of names) {
      const epoch = parseSnapshotTime(time)
      if (epoch === undefined) {
        odd.push({ path: `${folder}/${time}`, reason: 'not a time' })
        continue
      }
      const manifest = this.#stamp(`${folder}/${time}/${MANIFEST_NAME}`)
      if (manifest !== undefined) entries.push({ time, epoch, manifest })
    }
    entries.sort((a, b) => a.epoch - b.epoch || compareNames(a.time, b.time))
    return { entries, skipped: [...skipped, ...odd] }
  }

  async groupInfo(group: GroupRef): Promise<GroupInfo> {
    const folder = groupPath(group)
    requireFolders(this.#base, folder)
    const owner = this.#readOptional(`${folder}/owner`, MAX_OWNER_SIZE)
    return {
      owner: owner === undefined ? undefined : Buffer.from(owner).toString('utf8').split('\n', 1)[0],
      notes: this.#readOptional(`${folder}/notes`, MAX_NOTES_SIZE),
    }
  }

  async snapshotInfo(snapshot: SnapshotRef): Promise<SnapshotInfo | undefined> {
    const folder = snapshotPath(snapshot)
    try {
      requireFolders(this.#base, folder)
    } catch (error) {
      if (error instanceof SourceError && error.fields['code'] === 'ENOENT') return undefined
      throw error
    }
    const stamp = this.#stamp(`${folder}/${MANIFEST_NAME}`)
    return stamp === undefined ? undefined : { stamp, protected: this.#isProtected(folder) }
  }

  async readManifest(snapshot: SnapshotRef): Promise<SnapshotManifest> {
    const folder = snapshotPath(snapshot)
    requireFolders(this.#base, folder)
    const path = joinPath(this.#base, `${folder}/${MANIFEST_NAME}`)
    const name = showPath(path)
    const { bytes, stats } = readRegularFile(path, MAX_MANIFEST_SIZE)
    const json = decodeBlobFile(bytes, name, MAX_MANIFEST_SIZE)
    const manifest = parseManifest(json, name)
    return {
      manifest,
      json,
      stamp: stampOf(stats),
      protected: this.#isProtected(folder),
      warnings: comparePlace(manifest, snapshot),
    }
  }

  async listFiles(snapshot: SnapshotRef, manifest?: Pick<Manifest, 'files'>): Promise<readonly SnapshotFile[]> {
    const folder = snapshotPath(snapshot)
    const { files } = manifest ?? (await this.readManifest(snapshot)).manifest
    requireFolders(this.#base, folder)
    const found: SnapshotFile[] = [
      { name: MANIFEST_NAME, entry: undefined, stamp: this.#stamp(`${folder}/${MANIFEST_NAME}`) },
    ]
    for (const entry of files) {
      found.push({ name: entry.filename, entry, stamp: this.#stamp(`${folder}/${entry.filename}`) })
    }
    if (!files.some((entry) => entry.filename === CLIENT_LOG_NAME)) {
      const stamp = this.#stamp(`${folder}/${CLIENT_LOG_NAME}`)
      if (stamp !== undefined) found.push({ name: CLIENT_LOG_NAME, entry: undefined, stamp })
    }
    return found
  }

  async readFile(snapshot: SnapshotRef, name: string, maxBytes: number = MAX_BLOB_FILE_SIZE): Promise<Uint8Array> {
    return readRegularFile(this.#filePath(snapshot, name), maxBytes).bytes
  }

  async readPart(snapshot: SnapshotRef, name: string, offset: number, length: number): Promise<Uint8Array> {
    return readFilePart(this.#filePath(snapshot, name), offset, length)
  }

  #filePath(snapshot: SnapshotRef, name: string): FsPath {
    const folder = snapshotPath(snapshot)
    if (!isArchiveFileName(name)) {
      const shown = escapeName(name)
      throw new FormatError(`${folder}/${shown}: not the name of an archive`, { stream: folder, actual: shown })
    }
    requireFolders(this.#base, folder)
    return joinPath(this.#base, `${folder}/${name}`)
  }

  async lockSnapshot(snapshot: SnapshotRef, server: ServerPlace): Promise<SnapshotLock | undefined> {
    // Not for a snapshot that is not there: the server would find a lock file without one.
    if ((await this.snapshotInfo(snapshot)) === undefined) return undefined
    const { id, problems } = this.#locks.take(joinPath(this.#base, snapshotPath(snapshot)), snapshot, server)
    let info: SnapshotInfo | undefined
    try {
      info = await this.snapshotInfo(snapshot)
    } finally {
      if (info === undefined) this.#locks.release(id)
    }
    return info === undefined ? undefined : { id, problems, stamp: info.stamp }
  }

  async unlockSnapshot(_snapshot: SnapshotRef, id: number): Promise<void> {
    this.#locks.release(id)
  }

  async close(): Promise<void> {
    this.#locks.releaseAll()
  }

  /** Where the disk of the store was unmounted there is a folder still: it must not look like an empty store. */
  #requireStore(): void {
    const folder = joinPath(this.#base, CHUNK_FOLDER)
    if (statEntry(folder) === undefined) throw sourceError('no longer there (unmounted or moved?)', 'list', folder, 'ENOENT')
  }

  /** undefined unless there is a regular file. */
  #stamp(relative: string): FileStamp | undefined {
    const path = joinPath(this.#base, relative)
    let stats: Stats | undefined
    try {
      stats = lstatSync(path, { throwIfNoEntry: false })
    } catch (error) {
      throw fsError(error, 'stat', path)
    }
    return stats?.isFile() === true ? stampOf(stats) : undefined
  }

  #isProtected(folder: string): boolean {
    return statEntry(joinPath(this.#base, `${folder}/.protected`))?.isFile() === true
  }

  #readOptional(relative: string, maxBytes: number): Uint8Array | undefined {
    const path = joinPath(this.#base, relative)
    if (statEntry(path) === undefined) return undefined
    return readRegularFile(path, maxBytes).bytes
  }
}

function notAFolder(path: string, stats: Stats): Skipped {
  return { path, reason: stats.isSymbolicLink() ? 'a symbolic link' : 'not a directory' }
}

function stampOf(stats: Stats): FileStamp {
  return {
    identity: `${stats.ino}-${stats.size}-${stats.mtimeMs}-${stats.ctimeMs}`,
    mtimeMs: stats.mtimeMs,
    size: stats.size,
  }
}

/** What the manifest says about itself against the folder it lies in. The server never compares. */
function comparePlace(manifest: Manifest, { group, time }: SnapshotRef): string[] {
  const warnings: string[] = []
  if (!isCanonicalSnapshotTime(time)) warnings.push(`folder name ${time} is not the usual form of its time`)
  if (manifest.backupTime !== parseSnapshotTime(time)) {
    warnings.push(`manifest is of time ${manifest.backupTime}, the folder is ${time}`)
  }
  if (manifest.backupType !== group.type || manifest.backupId !== group.id) {
    const says = escapeName(`${manifest.backupType}/${manifest.backupId}`.slice(0, 300))
    warnings.push(`manifest is of ${says}, the folder is ${group.type}/${group.id}`)
  }
  return warnings
}

function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

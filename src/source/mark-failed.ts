import { closeSync, fchmodSync, fchownSync, fsyncSync, openSync, renameSync, unlinkSync, writeSync, constants } from 'node:fs'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import { decodeBlobFile } from '../blob/decode.js'
import { formatJson, parseJson, type JsonObject, type JsonValue } from '../bytes/json.js'
import { BusyError, FormatError } from '../errors/errors.js'
import type { ServerPlace, SnapshotRef } from './datastore.js'
import { fsError, joinPath, showPath, type FsPath } from './fs-paths.js'
import { lockFile } from './lock-files.js'
import { lockFileParts, lockSubject } from './lock-names.js'
import { MAX_MANIFEST_SIZE } from './manifest.js'
import { MANIFEST_NAME } from './names.js'
import { readRegularFile } from './read-file.js'
import { requireFolders, snapshotPath } from './store-folders.js'

/** How long the server waits for the lock of a manifest, and how often is tried. */
const LOCK_PATIENCE_MS = 5000
const LOCK_RETRY_MS = 100

/** A manifest and its envelope. */
const MAX_MANIFEST_FILE = MAX_MANIFEST_SIZE + 4096

const MAGIC_PLAIN = Buffer.from('42ab3807be8370a1', 'hex')

/**
 * Records in the part of the manifest that no signature covers that verifying the snapshot failed, as the server does
 * when it misses a chunk of a known snapshot: the next backup then does not build on it. Under the manifest's lock
 * where a server of this host has the store; complete at every moment, owner and mode kept. Everything else in the
 * manifest stays as it is. SourceError, BusyError, FormatError.
 */
export async function markSnapshotFailed(base: FsPath, snapshot: SnapshotRef, server: ServerPlace | undefined): Promise<void> {
  const held = server?.store === undefined ? undefined : await lockManifest(snapshot, server.runtimeDir, server.store)
  try {
    const relative = snapshotPath(snapshot)
    requireFolders(base, relative)
    const folder = joinPath(base, relative)
    const path = joinPath(folder, MANIFEST_NAME)
    const { bytes, stats } = readRegularFile(path, MAX_MANIFEST_FILE)
    const json = decodeBlobFile(bytes, showPath(path), MAX_MANIFEST_SIZE)
    replaceFile(folder, path, encodePlain(Buffer.from(withFailure(json, showPath(path)))), stats)
  } finally {
    if (held !== undefined) closeSync(held)
  }
}

async function lockManifest(snapshot: SnapshotRef, runtimeDir: string, store: string): Promise<number> {
  const parts = lockFileParts(snapshot.group.ns, `${lockSubject(snapshot)}/.index.json.lck`)
  for (let waited = 0; ; waited += LOCK_RETRY_MS) {
    const attempt = lockFile(runtimeDir, store, parts, 'exclusive')
    if (attempt !== 'busy') return attempt.fd
    if (waited >= LOCK_PATIENCE_MS) throw new BusyError(`${lockSubject(snapshot)}: its manifest is being changed by the server`, {})
    await sleep(LOCK_RETRY_MS)
  }
}

/** The JSON with `verify_state` replaced, and nothing else. */
function withFailure(json: Uint8Array, name: string): string {
  const root = parseJson(json, name)
  if (!isObject(root)) throw new FormatError(`${name}: the manifest is not a JSON object`, { stream: name })
  const unprotected = root.get('unprotected') ?? new Map<string, JsonValue>()
  if (!isObject(unprotected)) throw new FormatError(`${name}: the unprotected part of the manifest is not an object`, { stream: name })
  const state: JsonObject = new Map([['state', 'failed'], ['upid', makeUpid()]])
  return formatJson(new Map([...root, ['unprotected', new Map([...unprotected, ['verify_state', state]])]]))
}

/** The name of a task, in the form the server can read. */
function makeUpid(): string {
  const hex = (value: number): string => (value >>> 0).toString(16).toUpperCase().padStart(8, '0')
  const node = hostname().split('.')[0]!.replaceAll(/[^A-Za-z0-9-]/g, '') || 'localhost'
  return `UPID:${node}:${hex(process.pid)}:00000000:00000000:${hex(Math.floor(Date.now() / 1000))}:verify:pbsfs:root@pam:`
}

function encodePlain(content: Buffer): Buffer {
  const head = Buffer.alloc(12)
  head.set(MAGIC_PLAIN)
  head.writeUInt32LE(crc32(content), 8)
  return Buffer.concat([head, content])
}

/** A new file of the same owner and mode takes the name: whoever reads sees the old or the new one. */
function replaceFile(folder: FsPath, path: FsPath, bytes: Buffer, { uid, gid, mode }: { uid: number; gid: number; mode: number }): void {
  const temporary = joinPath(folder, `.${MANIFEST_NAME}.pbsfs-${process.pid}.tmp`)
  let fd: number | undefined
  try {
    fd = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
    fchownSync(fd, uid, gid)
    fchmodSync(fd, mode & 0o7777)
    fsyncSync(fd)
    closeSync(fd)
    fd = undefined
    renameSync(temporary, path)
    syncFolder(folder)
  } catch (error) {
    if (fd !== undefined) closeSync(fd)
    try {
      unlinkSync(temporary)
    } catch {
      // It was not made, or has its new name already.
    }
    throw fsError(error, 'mark', path)
  }
}

function syncFolder(folder: FsPath): void {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function isObject(value: JsonValue): value is JsonObject {
  return value instanceof Map
}

import { createHash } from 'node:crypto'
import { hex } from '../bytes/names.js'
import { isPbsfsError } from '../errors/errors.js'
import type { AnyIndex } from '../index/parse-index.js'
import { compareWithManifest, parseIndex } from '../index/parse-index.js'
import { MAX_INDEX_FILE_SIZE } from '../index/index-format.js'
import type { ChunkLook } from '../source/chunk-inventory.js'
import type { Datastore, SnapshotRef } from '../source/datastore.js'
import type { ManifestFile } from '../source/manifest.js'
import { DigestSet } from './digest-set.js'
import type { BadChunk, CheckedFile, CheckedSnapshot, CheckReport, LostBytes } from './report.js'

/** Largest file that a manifest lists beside its indices. */
const MAX_BLOB_FILE_SIZE = 129 * 1024 * 1024

/** Chunk folders looked into at the same time. */
const FOLDERS_AT_ONCE = 8

/** How far the work is. */
export interface CheckProgress {
  readonly phase: 'indices' | 'chunks' | 'read' | 'files'
  readonly done: number
  readonly total: number
  /** Bytes of chunk files looked at. */
  readonly bytes: number
}

/** A chunk to read: how long it is, and whether it is encrypted. */
export interface ChunkToRead {
  readonly digest: Uint8Array
  readonly length: number
  readonly file: ManifestFile
  readonly snapshot: SnapshotRef
}

export interface CheckParts {
  readonly store: Datastore
  /** Looks at chunks that share their first two bytes, without reading them. */
  look(digests: readonly Uint8Array[]): Promise<readonly ChunkLook[]>
  /** Chunks of this store may be absent without being lost. */
  readonly s3Cache: boolean
  /**
   * Reads, decodes and verifies; undefined: it is what it should be. A reason of kind `unchecked`: it could not be
   * read, as without its key. Absent: chunks are not read.
   */
  readonly read?: ((chunk: ChunkToRead) => Promise<{ readonly kind: 'bad' | 'unchecked'; readonly reason: string } | undefined>) | undefined
  /** Chunks read at the same time. */
  readonly readsAtOnce: number
  readonly onProgress: (progress: CheckProgress) => void
}

type Verdict = { readonly kind: 'bad' | 'unchecked'; readonly reason: string }

/** Bytes of distinct digests and the verdicts on those that are not whole. */
interface Seen {
  readonly digests: DigestSet
  /** Index of the file and snapshot that a chunk was first met in. */
  readonly lengths: number[]
  readonly owners: number[]
  readonly verdicts: Map<number, Verdict>
}

interface Place {
  readonly snapshot: SnapshotRef
  readonly file: ManifestFile
}

/**
 * Looks at every chunk that the snapshots refer to, each once, in the order of the store's folders, and tells which
 * snapshots and which bytes of their archives are lost. What cannot be checked never stands in the way of the rest.
 */
export async function checkStore(parts: CheckParts, snapshots: readonly SnapshotRef[]): Promise<CheckReport> {
  const seen: Seen = { digests: new DigestSet(), lengths: [], owners: [], verdicts: new Map() }
  const places: Place[] = []
  const drafts: Draft[] = []
  for (const [i, snapshot] of snapshots.entries()) {
    parts.onProgress({ phase: 'indices', done: i, total: snapshots.length, bytes: 0 })
    const draft = await readSnapshot(parts, snapshot, seen, places)
    if (draft !== undefined) drafts.push(draft)
  }
  const bytes = await lookAtChunks(parts, seen)
  if (parts.read !== undefined) await readChunks(parts, parts.read, seen, places)
  const checked: CheckedSnapshot[] = []
  for (const draft of drafts) checked.push(await attribute(parts, draft, seen))
  const bad: BadChunk[] = []
  let unchecked = 0
  for (const [id, { kind, reason }] of seen.verdicts) {
    if (kind === 'bad') bad.push({ digest: hex(seen.digests.at(id)), reason })
    else unchecked++
  }
  const remarks = parts.s3Cache && unchecked > 0 ? [`${unchecked} chunks are not in this cache of an S3 store; they may be whole in the bucket`] : []
  return { snapshots: checked, badChunks: bad, chunks: { distinct: seen.digests.size, unchecked, bytes }, remarks }
}

interface Draft {
  readonly snapshot: SnapshotRef
  readonly recorded: CheckedSnapshot['recorded']
  readonly problems: readonly string[]
  readonly files: readonly DraftFile[]
}

interface DraftFile {
  readonly entry: ManifestFile
  readonly problems: string[]
  readonly unchecked: string[]
  /** It is an index, and could be read. */
  readonly isIndex: boolean
}

/** Manifest and indices of a snapshot; undefined: it is gone since it was listed. */
async function readSnapshot(parts: CheckParts, snapshot: SnapshotRef, seen: Seen, places: Place[]): Promise<Draft | undefined> {
  const { store } = parts
  let manifest
  try {
    manifest = (await store.readManifest(snapshot)).manifest
  } catch (error) {
    if (!isPbsfsError(error)) throw error
    if ((await store.snapshotInfo(snapshot).catch(() => null)) === undefined) return undefined
    return { snapshot, recorded: undefined, problems: [error.message], files: [] }
  }
  const files: DraftFile[] = []
  for (const entry of manifest.files) {
    const file: DraftFile = { entry, problems: [], unchecked: [], isIndex: isIndexName(entry.filename) }
    files.push(file)
    try {
      if (file.isIndex) addChunks(await readIndex(store, snapshot, entry, file.problems), seen, places.push({ snapshot, file: entry }) - 1)
      else await checkBlob(store, snapshot, entry, file.problems)
    } catch (error) {
      if (!isPbsfsError(error)) throw error
      if ((await store.snapshotInfo(snapshot).catch(() => null)) === undefined) return undefined
      file.problems.push(error.message)
    }
  }
  return { snapshot, recorded: manifest.verify, problems: manifest.problems, files }
}

function isIndexName(name: string): boolean {
  return name.endsWith('.fidx') || name.endsWith('.didx')
}

async function readIndex(store: Datastore, snapshot: SnapshotRef, entry: ManifestFile, problems: string[]): Promise<AnyIndex> {
  const bytes = await store.readFile(snapshot, entry.filename, MAX_INDEX_FILE_SIZE)
  const index = parseIndex(bytes, entry.filename)
  const problem = compareWithManifest(index, entry, true)
  if (problem !== undefined) problems.push(problem)
  return index
}

async function checkBlob(store: Datastore, snapshot: SnapshotRef, { filename, size, csum }: ManifestFile, problems: string[]): Promise<void> {
  const bytes = await store.readFile(snapshot, filename, MAX_BLOB_FILE_SIZE)
  if (bytes.length !== size) problems.push(`has ${bytes.length} bytes, its manifest says ${size}`)
  else if (createHash('sha256').update(bytes).digest('hex') !== csum) problems.push('its checksum is not that of its manifest')
}

function addChunks(index: AnyIndex, { digests, lengths, owners }: Seen, place: number): void {
  for (let i = 0; i < index.count; i++) {
    const before = digests.size
    const id = digests.add(index.digestAt(i))
    if (digests.size === before) continue
    lengths[id] = index.endOf(i) - index.startOf(i)
    owners[id] = place
  }
}

/** One look at each chunk, several folders at a time in the order of the store; returns the bytes of all that are there. */
async function lookAtChunks(parts: CheckParts, { digests, verdicts }: Seen): Promise<number> {
  const order = digests.inOrder()
  let from = 0
  let done = 0
  let bytes = 0
  const nextFolder = (): Uint32Array => {
    let to = from
    while (to < order.length && samePrefix(digests.at(order[from]!), digests.at(order[to]!))) to++
    const ids = order.subarray(from, to)
    from = to
    return ids
  }
  const lane = async (): Promise<void> => {
    for (let ids = nextFolder(); ids.length > 0; ids = nextFolder()) {
      const looks = await parts.look(Array.from(ids, (id) => digests.at(id)))
      for (const [i, look] of looks.entries()) {
        if (look.state === 'there') bytes += look.bytes
        else if (look.state === 'unknown' || (look.state === 'missing' && parts.s3Cache)) verdicts.set(ids[i]!, { kind: 'unchecked', reason: look.reason })
        else verdicts.set(ids[i]!, { kind: 'bad', reason: look.reason })
      }
      done += ids.length
      parts.onProgress({ phase: 'chunks', done, total: order.length, bytes })
    }
  }
  await Promise.all(Array.from({ length: FOLDERS_AT_ONCE }, lane))
  return bytes
}

function samePrefix(a: Uint8Array, b: Uint8Array): boolean {
  return a[0] === b[0] && a[1] === b[1]
}

/** Reads what is there, several at a time. */
async function readChunks(parts: CheckParts, read: NonNullable<CheckParts['read']>, seen: Seen, places: readonly Place[]): Promise<void> {
  const order = seen.digests.inOrder()
  let next = 0
  let done = 0
  let bytes = 0
  const lane = async (): Promise<void> => {
    while (next < order.length) {
      const id = order[next++]!
      if (!seen.verdicts.has(id)) {
        const { snapshot, file } = places[seen.owners[id]!]!
        const length = seen.lengths[id]!
        const verdict = await read({ digest: seen.digests.at(id), length, file, snapshot })
        if (verdict !== undefined) seen.verdicts.set(id, verdict)
        bytes += length
      }
      parts.onProgress({ phase: 'read', done: ++done, total: order.length, bytes })
    }
  }
  await Promise.all(Array.from({ length: parts.readsAtOnce }, lane))
}

/** Which bytes of each archive the verdicts are about. */
async function attribute(parts: CheckParts, draft: Draft, seen: Seen): Promise<CheckedSnapshot> {
  const files: CheckedFile[] = []
  for (const { entry, problems, unchecked, isIndex } of draft.files) {
    const lost: LostBytes[] = []
    const reasons = new Set(unchecked)
    if (isIndex && seen.verdicts.size > 0) {
      try {
        collectLost(await readIndex(parts.store, draft.snapshot, entry, []), seen, lost, reasons)
      } catch (error) {
        if (!isPbsfsError(error)) throw error
      }
    }
    files.push({ name: entry.filename, problems, unchecked: [...reasons], lost })
  }
  return { snapshot: draft.snapshot, recorded: draft.recorded, problems: draft.problems, files }
}

function collectLost(index: AnyIndex, { digests, verdicts }: Seen, lost: LostBytes[], unchecked: Set<string>): void {
  for (let i = 0; i < index.count; i++) {
    const verdict = verdicts.get(digests.find(index.digestAt(i)))
    if (verdict === undefined) continue
    if (verdict.kind === 'unchecked') unchecked.add(verdict.reason)
    else lost.push({ start: index.startOf(i), end: index.endOf(i), digest: hex(index.digestAt(i)), reason: verdict.reason })
  }
}

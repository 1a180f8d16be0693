import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { decodeBlobFileInSteps } from '../blob/decode.js'
import { MAX_BLOB_FILE_SIZE, parseBlob } from '../blob/data-blob.js'
import type { ReadAt } from '../bytes/read-at.js'
import { IntegrityError, KeyError, NodeError, SourceError } from '../errors/errors.js'
import { INDEX_HEADER_SIZE } from '../index/index-format.js'
import type { AnyIndex } from '../index/parse-index.js'
import { openPagedFixedIndex } from '../index/paged-fixed-index.js'
import { checkIndexEnds, compareWithManifest, LAST_ENTRY_SIZE, parseIndex } from '../index/parse-index.js'
import { ZeroChunks } from '../index/zero-chunks.js'
import type { RingKey } from '../keys/key-ring.js'
import { RSA_KEY_BLOB } from '../keys/rsa-key-blob.js'
import type { ChunkLoader } from '../reader/chunk-loader.js'
import { ChunkStream } from '../reader/chunk-stream.js'
import { ReopeningStream } from '../reader/reopening-stream.js'
import type { Datastore, SnapshotManifest, SnapshotRef } from '../source/datastore.js'
import type { ManifestFile } from '../source/manifest.js'
import { BytesStream } from '../tree/file-nodes.js'
import type { SnapshotTrust, StreamOpener } from '../tree/store-context.js'
import type { MaybePromise } from '../tree/tree.js'
import { placeOf, type SnapshotKeys } from './snapshot-keys.js'

/** Largest index file: 32 bytes for each 4 MiB of a 128 TiB image. */
const MAX_INDEX_BYTES = 1024 * 1024 * 1024

/** An index file of this length is looked at before it is read. */
const LARGE_INDEX_BYTES = 1024 * 1024

/** Of longer images the index is read piece by piece: 1 MiB for chunks of 4 MiB, at most 64 MiB. */
const PAGED_FROM = 128 * 1024 * 1024 * 1024

/** Bytes of indices and of decoded blobs kept in memory beside what is in use. */
const INDEX_BYTES = 64 * 1024 * 1024
const BLOB_BYTES = 16 * 1024 * 1024

export interface StreamSettings {
  /** Chunks loaded ahead of a sequential reader. */
  readonly readahead: number
  /** Descriptor of the kernel's channel, when there is one. */
  readonly replyFd?: number
}

/** Opens indices and blobs of one datastore with the keys they need, and keeps those used last. */
export class StoreStreams implements StreamOpener {
  readonly #datastore: Datastore
  readonly #loader: ChunkLoader
  readonly #settings: StreamSettings
  readonly #keys: SnapshotKeys
  /** By the number of the key. */
  readonly #zeros = new Map<number, ZeroChunks>()
  readonly #indices: LRUCache<string, ChunkStream>
  readonly #opening = new Map<string, Promise<ChunkStream>>()
  readonly #blobs = new LRUCache<string, ReadAt>({
    maxSize: BLOB_BYTES,
    sizeCalculation: (stream) => Math.max(1, stream.size),
  })
  /** The last one stays, however large it is. */
  #latest: { readonly key: string; readonly stream: ChunkStream } | undefined

  constructor(datastore: Datastore, loader: ChunkLoader, keys: SnapshotKeys, settings: StreamSettings) {
    this.#keys = keys
    this.#datastore = datastore
    this.#loader = loader
    this.#settings = settings
    this.#indices = new LRUCache({ maxSize: INDEX_BYTES, sizeCalculation: (stream) => stream.indexBytes })
  }

  trust(snapshot: SnapshotRef, seen: SnapshotManifest): Promise<SnapshotTrust> {
    return this.#keys.judge(snapshot, seen)
  }

  stream(snapshot: SnapshotRef, file: ManifestFile, seen: SnapshotManifest): ReadAt {
    const key = `${placeOf(snapshot)}/${file.filename}/${file.csum}`
    const delivers = this.#settings.replyFd !== undefined
    return new ReopeningStream(nameOf(snapshot, file.filename), file.size, delivers, () => this.#open(key, snapshot, file, seen))
  }

  openBlob(snapshot: SnapshotRef, filename: string, seen: SnapshotManifest, expected?: ManifestFile): MaybePromise<ReadAt> {
    if (expected === undefined) return this.#readBlob(snapshot, filename, seen)
    const key = `${placeOf(snapshot)}/${filename}/${expected.csum}`
    const known = this.#blobs.get(key)
    if (known !== undefined) return known
    return this.#readBlob(snapshot, filename, seen, expected).then((stream) => {
      this.#blobs.set(key, stream)
      return stream
    })
  }

  #open(key: string, snapshot: SnapshotRef, file: ManifestFile, seen: SnapshotManifest): MaybePromise<ChunkStream> {
    const known = this.#latest?.key === key ? this.#latest.stream : this.#indices.get(key)
    if (known !== undefined) return known
    const running = this.#opening.get(key)
    if (running !== undefined) return running
    const opening = this.#load(snapshot, file, seen)
      .catch((error: unknown) => this.#explain(error, snapshot))
      .then((stream) => {
        this.#indices.set(key, stream)
        this.#latest = { key, stream }
        return stream
      })
      .finally(() => this.#opening.delete(key))
    this.#opening.set(key, opening)
    return opening
  }

  async #load(snapshot: SnapshotRef, file: ManifestFile, seen: SnapshotManifest): Promise<ChunkStream> {
    const name = nameOf(snapshot, file.filename)
    const keys = await this.#keys.keysFor(snapshot, seen, file.cryptMode === 'encrypt')
    const index = await this.#openIndex(snapshot, file, name, keys)
    const problem = compareWithManifest(index, file, this.#keys.force)
    if (problem !== undefined) this.#keys.warn(problem, name)
    if (keys.length <= 1) return this.#makeStream(name, index, file, keys[0])
    return this.#tryKeys(name, index, file, keys)
  }

  async #openIndex(snapshot: SnapshotRef, file: ManifestFile, name: string, keys: readonly RingKey[]): Promise<AnyIndex> {
    if (!file.filename.endsWith('.fidx') || file.size < PAGED_FROM) {
      return parseIndex(await this.#readIndex(snapshot, file, name), name)
    }
    const known = this.#keys.force ? [] : file.cryptMode === 'encrypt' ? keys.map((key) => this.#zerosOf(key)) : [new ZeroChunks()]
    const read = (offset: number, length: number) => this.#datastore.readPart(snapshot, file.filename, offset, length)
    return openPagedFixedIndex(read, name, (length) => known.flatMap((zeros) => zeros.digestOf(length) ?? []))
  }

  /** A file that is missing because its snapshot is: who still has it open has a stale one. */
  async #explain(error: unknown, snapshot: SnapshotRef): Promise<never> {
    if (!(error instanceof SourceError) || error.fields['code'] !== 'ENOENT') throw error
    const [info, store] = await Promise.all([this.#datastore.snapshotInfo(snapshot), this.#datastore.describe()])
    // Without its chunks the whole store is away.
    if (info !== undefined || store.unreadable !== undefined) throw error
    const place = placeOf(snapshot)
    const message = `${place}: the snapshot was removed while it was in use`
    this.#keys.warn(message, place)
    throw new NodeError('ESTALE', message, { path: place }, { cause: error })
  }

  /** The whole file. Of a large one the two ends are looked at first: it is not read for nothing. */
  async #readIndex(snapshot: SnapshotRef, file: ManifestFile, name: string): Promise<Uint8Array> {
    const found = await this.#datastore.listFiles(snapshot, { files: [file] })
    const length = found.find((candidate) => candidate.name === file.filename)?.stamp?.size ?? 0
    if (length > LARGE_INDEX_BYTES) {
      const read = (offset: number, part: number) => this.#datastore.readPart(snapshot, file.filename, offset, part)
      checkIndexEnds(await read(0, INDEX_HEADER_SIZE), await read(length - LAST_ENTRY_SIZE, LAST_ENTRY_SIZE), length, name)
    }
    return this.#datastore.readFile(snapshot, file.filename, MAX_INDEX_BYTES)
  }

  #makeStream(name: string, index: AnyIndex, file: ManifestFile, key: RingKey | undefined): ChunkStream {
    const encrypted = file.cryptMode === 'encrypt'
    return new ChunkStream(name, index, this.#loader, {
      ...this.#settings,
      encrypted: this.#keys.force ? undefined : encrypted,
      digestDomain: encrypted ? key?.key.fingerprint : 'plain',
      ...(key === undefined ? {} : { keyId: key.id }),
      ...(encrypted && key !== undefined ? { zeros: this.#zerosOf(key) } : {}),
    })
  }

  #zerosOf({ id, key }: RingKey): ZeroChunks {
    const zeros = this.#zeros.get(id) ?? new ZeroChunks(key.idKey)
    this.#zeros.set(id, zeros)
    return zeros
  }

  /** Nothing says which key it is: the first chunk that is not all zeros does. */
  async #tryKeys(name: string, index: AnyIndex, file: ManifestFile, keys: readonly RingKey[]): Promise<ChunkStream> {
    let failure: unknown
    for (const key of keys) {
      const stream = this.#makeStream(name, index, file, key)
      const at = stream.nextData(0)
      try {
        if (at < stream.size) await stream.read(at, 1)
        return stream
      } catch (error) {
        if (!(error instanceof IntegrityError)) throw error
        failure = error
      }
    }
    throw noKeyFits(name, failure)
  }

  async #readBlob(snapshot: SnapshotRef, filename: string, seen: SnapshotManifest, expected?: ManifestFile): Promise<ReadAt> {
    const name = nameOf(snapshot, filename)
    // The manifest itself and the client's log are not signed: they can be read whatever the signature is worth.
    if (expected !== undefined) await this.#keys.keysFor(snapshot, seen, false)
    const bytes = await this.#datastore
      .readFile(snapshot, filename, MAX_BLOB_FILE_SIZE)
      .catch((error: unknown) => this.#explain(error, snapshot))
    const { encrypted } = parseBlob(bytes, name)
    const problem = expected === undefined ? undefined : findBlobProblem(bytes, encrypted, name, expected)
    if (problem !== undefined && !this.#keys.force) throw problem
    if (problem !== undefined) this.#keys.warn(problem.message, name)
    if (!encrypted) return new BytesStream(name, await decodeBlobFileInSteps(bytes, name))
    const keys = await this.#keys.keysFor(snapshot, seen, true)
    return new BytesStream(name, await decodeWith(bytes, name, keys))
  }
}

/** The manifest records length and SHA-256 of the file as it is stored, and whether it is encrypted. */
function findBlobProblem(bytes: Uint8Array, encrypted: boolean, name: string, expected: ManifestFile): IntegrityError | undefined {
  if (bytes.length !== expected.size) {
    return new IntegrityError(`${name}: the manifest gives another length`, {
      stream: name,
      expected: expected.size,
      actual: bytes.length,
    })
  }
  const actual = createHash('sha256').update(bytes).digest('hex')
  if (actual !== expected.csum) {
    return new IntegrityError(`${name}: the manifest gives another checksum`, { stream: name, expected: expected.csum, actual })
  }
  // What only the master key opens is encrypted in its own way.
  if (encrypted === (expected.cryptMode === 'encrypt') || expected.filename === RSA_KEY_BLOB) return undefined
  return new IntegrityError(`${name}: ${encrypted ? 'encrypted' : 'not encrypted'}, against what the manifest says`, {
    stream: name,
    expected: expected.cryptMode,
    actual: encrypted ? 'encrypt' : 'none',
  })
}

async function decodeWith(bytes: Uint8Array, name: string, keys: readonly RingKey[]): Promise<Uint8Array> {
  let failure: unknown
  for (const { key } of keys) {
    try {
      return await decodeBlobFileInSteps(bytes, name, undefined, key)
    } catch (error) {
      if (!(error instanceof IntegrityError)) throw error
      failure = error
    }
  }
  throw keys.length === 1 ? failure : noKeyFits(name, failure)
}

function noKeyFits(name: string, cause: unknown): KeyError {
  return new KeyError(`${name}: none of the given keys opens it, or it is damaged`, { stream: name }, { cause })
}

function nameOf(snapshot: SnapshotRef, filename: string): string {
  return `${placeOf(snapshot)}/${filename}`
}

import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { decodeBlobFile } from '../blob/decode.js'
import { MAX_BLOB_FILE_SIZE } from '../blob/data-blob.js'
import type { ReadAt } from '../bytes/read-at.js'
import { IntegrityError, KeyError } from '../errors/errors.js'
import { compareWithManifest, parseIndex } from '../index/parse-index.js'
import type { ChunkLoader } from '../reader/chunk-loader.js'
import { ChunkStream } from '../reader/chunk-stream.js'
import { ReopeningStream } from '../reader/reopening-stream.js'
import type { Datastore, SnapshotRef } from '../source/datastore.js'
import type { ManifestFile } from '../source/manifest.js'
import { BytesStream } from '../tree/file-nodes.js'
import type { StreamOpener } from '../tree/store-context.js'
import type { MaybePromise } from '../tree/tree.js'

/** Largest index file: 32 bytes for each 4 MiB of a 128 TiB image. */
const MAX_INDEX_BYTES = 1024 * 1024 * 1024

/** Bytes of indices and of decoded blobs kept in memory beside what is in use. */
const INDEX_BYTES = 64 * 1024 * 1024
const BLOB_BYTES = 16 * 1024 * 1024

export interface StreamSettings {
  /** Chunks loaded ahead of a sequential reader. */
  readonly readahead: number
  /** Descriptor of the kernel's channel, when there is one. */
  readonly replyFd?: number
}

/** Opens indices and blobs of one datastore, and keeps those used last. */
export class StoreStreams implements StreamOpener {
  readonly #datastore: Datastore
  readonly #loader: ChunkLoader
  readonly #settings: StreamSettings
  readonly #indices: LRUCache<string, ChunkStream>
  readonly #opening = new Map<string, Promise<ChunkStream>>()
  readonly #blobs = new LRUCache<string, ReadAt>({
    maxSize: BLOB_BYTES,
    sizeCalculation: (stream) => Math.max(1, stream.size),
  })
  /** The last one stays, however large it is. */
  #latest: { readonly key: string; readonly stream: ChunkStream } | undefined

  constructor(datastore: Datastore, loader: ChunkLoader, settings: StreamSettings) {
    this.#datastore = datastore
    this.#loader = loader
    this.#settings = settings
    this.#indices = new LRUCache({ maxSize: INDEX_BYTES, sizeCalculation: (stream) => stream.indexBytes })
  }

  stream(snapshot: SnapshotRef, file: ManifestFile): ReadAt {
    const key = `${placeOf(snapshot)}/${file.filename}/${file.csum}`
    const delivers = this.#settings.replyFd !== undefined
    return new ReopeningStream(nameOf(snapshot, file.filename), file.size, delivers, () => this.#open(key, snapshot, file))
  }

  openBlob(snapshot: SnapshotRef, filename: string, expected?: ManifestFile): MaybePromise<ReadAt> {
    if (expected === undefined) return this.#readBlob(snapshot, filename)
    const key = `${placeOf(snapshot)}/${filename}/${expected.csum}`
    const known = this.#blobs.get(key)
    if (known !== undefined) return known
    return this.#readBlob(snapshot, filename, expected).then((stream) => {
      this.#blobs.set(key, stream)
      return stream
    })
  }

  #open(key: string, snapshot: SnapshotRef, file: ManifestFile): MaybePromise<ChunkStream> {
    const known = this.#latest?.key === key ? this.#latest.stream : this.#indices.get(key)
    if (known !== undefined) return known
    const running = this.#opening.get(key)
    if (running !== undefined) return running
    const opening = this.#load(snapshot, file)
      .then((stream) => {
        this.#indices.set(key, stream)
        this.#latest = { key, stream }
        return stream
      })
      .finally(() => this.#opening.delete(key))
    this.#opening.set(key, opening)
    return opening
  }

  async #load(snapshot: SnapshotRef, file: ManifestFile): Promise<ChunkStream> {
    const name = nameOf(snapshot, file.filename)
    const encrypted = file.cryptMode === 'encrypt'
    if (encrypted) throw new KeyError(`${name}: encrypted, and no key was given`, { stream: name })
    const bytes = await this.#datastore.readFile(snapshot, file.filename, MAX_INDEX_BYTES)
    const index = parseIndex(bytes, name)
    compareWithManifest(index, file)
    return new ChunkStream(name, index, this.#loader, { ...this.#settings, encrypted })
  }

  async #readBlob(snapshot: SnapshotRef, filename: string, expected?: ManifestFile): Promise<ReadAt> {
    const name = nameOf(snapshot, filename)
    const bytes = await this.#datastore.readFile(snapshot, filename, MAX_BLOB_FILE_SIZE)
    if (expected !== undefined) checkBlob(bytes, name, expected)
    return new BytesStream(name, decodeBlobFile(bytes, name))
  }
}

/** The manifest records length and SHA-256 of the file as it is stored. */
function checkBlob(bytes: Uint8Array, name: string, expected: ManifestFile): void {
  if (bytes.length !== expected.size) {
    throw new IntegrityError(`${name}: the manifest gives another length`, {
      stream: name,
      expected: expected.size,
      actual: bytes.length,
    })
  }
  const actual = createHash('sha256').update(bytes).digest('hex')
  if (actual !== expected.csum) {
    throw new IntegrityError(`${name}: the manifest gives another checksum`, { stream: name, expected: expected.csum, actual })
  }
}

function placeOf({ group, time }: SnapshotRef): string {
  return [...group.ns.flatMap((name) => ['ns', name]), group.type, group.id, time].join('/')
}

function nameOf(snapshot: SnapshotRef, filename: string): string {
  return `${placeOf(snapshot)}/${filename}`
}

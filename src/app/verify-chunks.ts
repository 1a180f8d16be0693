import { ChunkCache } from '../cache/chunk-cache.js'
import { keyOf } from '../bytes/names.js'
import { isDamage } from '../errors/is-damage.js'
import { isPbsfsError, KeyError } from '../errors/errors.js'
import type { Log } from '../errors/log.js'
import type { UsableKeys } from '../keys/usable-keys.js'
import { ChunkLoader, type ChunkRef } from '../reader/chunk-loader.js'
import type { Datastore, SnapshotManifest, SnapshotRef } from '../source/datastore.js'
import type { ManifestFile } from '../source/manifest.js'
import { DecodePool } from '../workers/decode-pool.js'
import { ProblemLog } from './problem-log.js'
import { placeOf, SnapshotKeys } from './snapshot-keys.js'

/** Memory for chunks on their way: four of the largest for each thread. */
const CACHE_PER_THREAD = 64 * 1024 * 1024

export interface ChunkToVerify {
  readonly digest: Uint8Array
  readonly length: number
  readonly snapshot: SnapshotRef
  readonly file: ManifestFile
}

/** Reads chunks through the decode threads only to see whether they are what their digest says. */
export class ChunkVerifier {
  /** Chunks worth having under way at once. */
  readonly atOnce: number
  readonly #store: Datastore
  readonly #pool: DecodePool
  readonly #loader: ChunkLoader
  readonly #keys: SnapshotKeys
  readonly #manifests = new Map<string, Promise<SnapshotManifest>>()

  constructor(store: Datastore, threads: number, given: UsableKeys, log: Log) {
    const cache = new ChunkCache(threads * CACHE_PER_THREAD)
    this.atOnce = threads * 2
    this.#store = store
    this.#pool = new DecodePool(threads, { memory: cache.memory, sources: [store.descriptor] })
    this.#loader = new ChunkLoader(cache, this.#pool)
    this.#keys = new SnapshotKeys(store, { given, force: false, log, problems: new ProblemLog(), onKey: (key) => this.#pool.addKey(key) })
  }

  /** undefined: CRC, decryption, length and digest are right. */
  async verify({ digest, length, snapshot, file }: ChunkToVerify): Promise<{ kind: 'bad' | 'unchecked'; reason: string } | undefined> {
    const encrypted = file.cryptMode === 'encrypt'
    try {
      const [key] = encrypted ? await this.#keys.keysFor(snapshot, await this.#manifest(snapshot), true) : []
      const ref: ChunkRef = {
        key: `${keyOf(digest)}${encrypted ? `e${key?.id ?? ''}` : ''}`,
        digest: digest.slice(),
        length,
        encrypted,
        ...(key === undefined ? {} : { keyId: key.id }),
        stream: `${placeOf(snapshot)}/${file.filename}`,
      }
      await new Promise<void>((resolve, reject) => this.#loader.request(ref, 'demand', { ready: () => resolve(), fail: reject }))
      this.#loader.drop(ref)
      return undefined
    } catch (error) {
      if (!isPbsfsError(error)) throw error
      if (error instanceof KeyError || !isDamage(error)) return { kind: 'unchecked', reason: error.message }
      return { kind: 'bad', reason: error.message }
    }
  }

  close(): Promise<void> {
    return this.#pool.close()
  }

  #manifest(snapshot: SnapshotRef): Promise<SnapshotManifest> {
    const name = placeOf(snapshot)
    const known = this.#manifests.get(name)
    if (known !== undefined) return known
    const reading = this.#store.readManifest(snapshot)
    this.#manifests.set(name, reading)
    return reading
  }
}

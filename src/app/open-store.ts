import { escapeName } from '../bytes/names.js'
import { ChunkCache } from '../cache/chunk-cache.js'
import { SourceError } from '../errors/errors.js'
import { NO_SECRETS } from '../keys/secrets.js'
import { deriveKeys } from '../keys/usable-keys.js'
import { ChunkLoader } from '../reader/chunk-loader.js'
import type { StoreSource } from '../source/resolve-source.js'
import type { StoreInfo } from '../source/datastore.js'
import { openStoreThread, type StoreThread } from '../source/store-thread.js'
import { MAX_TABLE_BYTES } from '../tree/dir-tables.js'
import { NodeRegistry } from '../tree/node-registry.js'
import type { StoreContext } from '../tree/store-context.js'
import { DecodePool } from '../workers/decode-pool.js'
import { FallbackUse } from './fallback-stores.js'
import { FolderOverlays } from './image-overlays.js'
import { archiveSet, makeTree, processOwner } from './make-tree.js'
import type { OpenSettings, OpenTree, SourceState } from './open-settings.js'
import { selectRoot } from './select-root.js'
import { chooseLocking, type Locking } from './snapshot-locking.js'
import { SnapshotKeys } from './snapshot-keys.js'
import { StoreStreams } from './stream-opener.js'

/** The part of the cache that is for decoded directories: one of so many. */
const DIRECTORY_SHARE = 8

/** A datastore, or a part of it, as a tree. */
export async function openStore(source: StoreSource, settings: OpenSettings): Promise<OpenTree> {
  const path = escapeName(Buffer.from(source.path))
  if (source.maintenance !== undefined) {
    throw new SourceError(source.maintenance, { path, operation: 'open' })
  }
  const descriptor = { kind: 'local' as const, path: source.path }
  const directoryBytes = Math.min(MAX_TABLE_BYTES, settings.cacheBytes / DIRECTORY_SHARE)
  const cache = new ChunkCache(settings.cacheBytes - directoryBytes)
  const reply = settings.replyFd === undefined ? {} : { replyFd: settings.replyFd }
  const fallbacks = settings.fallbacks ?? []
  const sources = [descriptor, ...fallbacks.map((fallback) => ({ kind: 'local' as const, path: fallback }))]
  const pool = new DecodePool(settings.decoders, { memory: cache.memory, sources, ...reply }, settings.spares?.takeDecoder())
  let store: StoreThread | undefined
  const stalls = new Map<string, string>()
  try {
    store = await openStoreThread(descriptor, {
      worker: settings.spares?.takeStore(),
      onStall: ({ operation, path: item, seconds, recovered }) => {
        const sentence = `${item}: no answer for ${Math.round(seconds)} s (${operation})`
        if (recovered) stalls.delete(item)
        else stalls.set(item, sentence)
        settings.log.warn(recovered ? `${item}: answers again after ${Math.round(seconds)} s` : sentence, { operation })
      },
    })
    const info = await store.describe()
    if (info.unreadable !== undefined && settings.force !== true) throw unreadableStore(info, path)
    for (const remark of info.remarks) settings.log.warn(remark, { path })
    const fallback = new FallbackUse(fallbacks, settings)
    const loader = new ChunkLoader(cache, pool, (ref, number, error) => fallback.note(ref, number, error))
    const locking = chooseLocking(source, store, path, settings.locks ?? {}, settings.log)
    const overlays = settings.overlays === undefined ? undefined : new FolderOverlays(settings.overlays)
    const keys = new SnapshotKeys(store, {
      given: await deriveKeys(settings.secrets ?? NO_SECRETS),
      force: settings.force ?? false,
      log: settings.log,
      problems: settings.problems,
      onKey: (added) => pool.addKey(added),
    })
    const context = storeContext(store, loader, keys, locking, overlays, directoryBytes, settings)
    const { root, known } = await selectRoot(source.selector, context)
    const { s3Cache } = info
    const remarks = settings.damaged === 'zero' ? [...info.remarks, ZEROS_REMARK] : info.remarks
    const opened = store
    return {
      tree: makeTree(root, context, settings, known),
      cache,
      cacheUse: () => {
        const { usedBytes, chunks } = cache.stats()
        return { limitBytes: settings.cacheBytes, usedBytes: usedBytes + context.archives.directoryBytes, chunks }
      },
      loader,
      sources: () => [
        sourceState(path, s3Cache ? 'S3 cache folder' : 'datastore', remarks, stalls, loader),
        ...fallback.states(),
      ],
      warmUp: () => pool.fill(),
      locks: () => ('none' in locking ? { none: locking.none, held: [] } : { held: locking.holds.held() }),
      close: async () => {
        // What lies over images is brought to the disk while they can still be read.
        await overlays?.close()
        context.holds?.close()
        context.archives.close()
        await Promise.all([pool.close(), opened.close()])
      },
    }
  } catch (error) {
    await Promise.all([pool.close(), store?.close()])
    throw error
  }
}

function sourceState(
  path: string,
  kind: string,
  remarks: readonly string[],
  stalls: ReadonlyMap<string, string>,
  loader: ChunkLoader,
): SourceState {
  const oldest = loader.oldest()
  const messages = [...stalls.values()]
  if (oldest !== undefined && oldest.seconds >= STALL_SECONDS) {
    messages.push(`chunk ${oldest.digest}: no answer for ${Math.round(oldest.seconds)} s`)
  }
  const message = [...messages, ...remarks].join('; ')
  return { path, kind, state: messages.length > 0 ? 'stalled' : 'ok', ...(message === '' ? {} : { message }) }
}

const ZEROS_REMARK = 'lost bytes of files are read as zeros (damaged=zero); .pbsfs/errors names them'

/** A chunk that takes longer is said to be stalled. */
const STALL_SECONDS = 30

function storeContext(
  store: StoreThread,
  loader: ChunkLoader,
  keys: SnapshotKeys,
  locking: Locking,
  overlays: FolderOverlays | undefined,
  directoryBytes: number,
  settings: OpenSettings,
): StoreContext {
  const readahead = settings.decoders + 1
  return {
    datastore: store,
    opener: new StoreStreams(store, loader, keys, {
      readahead,
      ...(settings.replyFd === undefined ? {} : { replyFd: settings.replyFd }),
    }),
    registry: new NodeRegistry(),
    archives: archiveSet(settings, directoryBytes),
    owner: processOwner(),
    holds: 'none' in locking ? undefined : locking.holds,
    overlays,
    since: Math.floor(Date.now() / 1000),
    report: (problem, place) => {
      if (settings.problems.add(problem, { place })) settings.log.warn(problem.message, { place, ...problem.fields })
    },
  }
}

function unreadableStore({ remarks, unreadable }: StoreInfo, path: string): SourceError {
  const why = remarks.at(-1)!
  return new SourceError(`${why} To look at names and sizes all the same, use --force`, {
    path,
    operation: 'open',
    ...(unreadable === undefined ? {} : { code: unreadable }),
  })
}

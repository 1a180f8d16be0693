import { basename } from 'node:path'
import { ChunkCache } from '../cache/chunk-cache.js'
import { escapeName, keyOf } from '../bytes/names.js'
import { SourceError } from '../errors/errors.js'
import type { Log } from '../errors/log.js'
import { NO_SECRETS, type MountSecrets } from '../keys/secrets.js'
import { ChunkLoader } from '../reader/chunk-loader.js'
import { openPlainFile } from '../source/plain-file-stream.js'
import type { ArchiveSource, ResolvedSource, StoreSource } from '../source/resolve-source.js'
import { formatSelector, LATEST, type Selector } from '../source/source-string.js'
import { openStoreThread, type StoreThread } from '../source/store-thread.js'
import { ArchiveRoot, type ArchiveOpener } from '../tree/archive-root.js'
import { ArchiveSet } from '../tree/archive-set.js'
import { CONTROL_DIR, ControlDir } from '../tree/control-dir.js'
import { linkPass } from '../tree/link-pass.js'
import { MountTree } from '../tree/mount-tree.js'
import { offsetOf } from '../tree/node-id.js'
import { NodeRegistry } from '../tree/node-registry.js'
import { PartsDir } from '../tree/parts-dir.js'
import { SingleDir } from '../tree/single-dir.js'
import { SnapshotDir } from '../tree/snapshot-dir.js'
import type { StoreContext } from '../tree/store-context.js'
import { GroupDir, NamespaceDir, TypeDir } from '../tree/store-dirs.js'
import { FOREVER, ROOT, type Entry, type Tree } from '../tree/tree.js'
import type { Owner, VirtualNode } from '../tree/virtual-node.js'
import { DecodePool } from '../workers/decode-pool.js'
import type { ProblemLog } from './problem-log.js'
import { SnapshotKeys } from './snapshot-keys.js'
import { StoreStreams } from './stream-opener.js'

const S_IFMT = 0o170000
const S_IFDIR = 0o040000

export interface OpenSettings {
  readonly cacheBytes: number
  /** Decode threads. */
  readonly decoders: number
  /** Descriptor of the kernel's channel, for replies that decode threads write. */
  readonly replyFd?: number
  /** Keys of encrypted and signed snapshots. */
  readonly secrets?: MountSecrets
  /** Show what contradicts its manifest or signature, with a warning. */
  readonly force?: boolean
  readonly log: Log
  readonly problems: ProblemLog
  /** Text of `.pbsfs/status`. */
  readonly renderStatus: () => Promise<string>
}

/** What is known of a source at this moment. */
export interface SourceState {
  readonly path: string
  readonly kind: string
  readonly state: 'ok' | 'stalled' | 'failed'
  readonly message?: string
}

export interface OpenTree {
  readonly tree: Tree
  readonly cache: ChunkCache | undefined
  readonly loader: ChunkLoader | undefined
  sources(): readonly SourceState[]
  /** Ends threads and gives files back. Idempotent. */
  close(): Promise<void>
}

/** Opens what SOURCE means as a file tree. Rejects with what the user has to know. */
export async function openTree(source: ResolvedSource, settings: OpenSettings): Promise<OpenTree> {
  return source.kind === 'archive' ? openLoneArchive(source, settings) : openStore(source, settings)
}

async function openStore(source: StoreSource, settings: OpenSettings): Promise<OpenTree> {
  const path = escapeName(Buffer.from(source.path))
  if (source.maintenance !== undefined) {
    throw new SourceError(source.maintenance, { path, operation: 'open' })
  }
  const descriptor = { kind: 'local' as const, path: source.path }
  const cache = new ChunkCache(settings.cacheBytes)
  const reply = settings.replyFd === undefined ? {} : { replyFd: settings.replyFd }
  const pool = new DecodePool(settings.decoders, { memory: cache.memory, sources: [descriptor], ...reply })
  let store: StoreThread | undefined
  const stalls = new Map<string, string>()
  try {
    store = await openStoreThread(descriptor, {
      onStall: ({ operation, path: item, seconds, recovered }) => {
        const sentence = `${item}: no answer for ${Math.round(seconds)} s (${operation})`
        if (recovered) stalls.delete(item)
        else stalls.set(item, sentence)
        settings.log.warn(recovered ? `${item}: answers again after ${Math.round(seconds)} s` : sentence, { operation })
      },
    })
    const info = await store.describe()
    for (const remark of info.remarks) settings.log.info(remark, { path })
    const loader = new ChunkLoader(cache, pool)
    const context = storeContext(store, loader, pool, settings)
    const { root, known } = await selectRoot(source.selector, context)
    const { remarks, s3Cache } = info
    const opened = store
    return {
      tree: makeTree(root, context, settings, known),
      cache,
      loader,
      sources: () => [sourceState(path, s3Cache ? 'S3 cache folder' : 'datastore', remarks, stalls, loader)],
      close: async () => {
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

/** A chunk that takes longer is said to be stalled. */
const STALL_SECONDS = 30

function storeContext(store: StoreThread, loader: ChunkLoader, pool: DecodePool, settings: OpenSettings): StoreContext {
  const keys = new SnapshotKeys(store, {
    secrets: settings.secrets ?? NO_SECRETS,
    force: settings.force ?? false,
    log: settings.log,
    problems: settings.problems,
    onKey: (added) => pool.addKey(added),
  })
  const readahead = settings.decoders + 1
  return {
    datastore: store,
    opener: new StoreStreams(store, loader, keys, {
      readahead,
      ...(settings.replyFd === undefined ? {} : { replyFd: settings.replyFd }),
    }),
    registry: new NodeRegistry(),
    archives: archiveSet(settings),
    owner: processOwner(),
    since: Math.floor(Date.now() / 1000),
    report: (problem, place) => {
      if (settings.problems.add(problem, { place })) settings.log.warn(problem.message, { place, ...problem.fields })
    },
  }
}

/** The root of the mount, and how many bytes it is known to show. */
async function selectRoot(selector: Selector, context: StoreContext): Promise<{ root: VirtualNode; known: number }> {
  const { ns, type, id, archive, inside } = selector
  const { datastore } = context
  if (type === undefined) {
    if (ns.length > 0) await requireName((await datastore.listNamespaces(ns.slice(0, -1))).entries, ns.at(-1)!, selector)
    return { root: new NamespaceDir(ROOT, undefined, '', context, ns), known: 0 }
  }
  if (id === undefined) return { root: new TypeDir(ROOT, undefined, '', context, ns, type), known: 0 }
  const { entries: groups } = await datastore.listGroups(ns)
  const group = groups.find((candidate) => candidate.type === type && candidate.id === id)
  if (group === undefined) throw notThere(selector, 'there is no such group')
  if (selector.time === undefined) return { root: new GroupDir(ROOT, undefined, '', context, group), known: 0 }
  const { entries } = await datastore.listSnapshots(group)
  const time = selector.time === LATEST ? entries.at(-1)?.time : selector.time
  if (time === undefined) throw notThere(selector, 'the group has no finished snapshot')
  if (!entries.some((entry) => entry.time === time)) throw notThere(selector, 'there is no such finished snapshot')
  const snapshot = new SnapshotDir(ROOT, undefined, '', context, { group, time })
  if (archive === undefined) {
    await snapshot.requireTrust()
    await snapshot.registerArchives()
    return { root: snapshot, known: await snapshot.totalBytes() }
  }
  const found = await snapshot.findChild(archive)
  if (found === undefined) throw notThere(selector, 'there is no such archive in the snapshot')
  const node = found.child.make(ROOT, undefined, '')
  if (node instanceof ArchiveRoot) {
    return { root: await enterArchive(node.opener, inside, context, `${time}/${found.name}`), known: await snapshot.totalBytes() }
  }
  if (node instanceof PartsDir) {
    if (inside === undefined) return { root: node, known: 0 }
    const part = await node.child(keyOf(inside))
    if (part === undefined) throw notThere(selector, 'there is no such partition or volume')
    return { root: new SingleDir(ROOT, context.owner, inside, () => part.entry()), known: 0 }
  }
  if (inside !== undefined) throw notThere(selector, `${found.name} is a file, there is nothing inside`)
  const name = Buffer.from(found.name)
  const file = context.registry.intern(found.name, (fileId) => found.child.make(fileId, undefined, found.name))
  // What is wrong with it shows now.
  await (await file.content()).stream.prepare?.()
  const attr = await file.getattr()
  return { root: new SingleDir(ROOT, context.owner, name, () => file.entry()), known: attr.size }
}

/** An archive, or a path inside it, as the root. Opens the archive: what is wrong with it shows now. */
async function enterArchive(
  opener: ArchiveOpener,
  inside: Buffer | undefined,
  context: Pick<StoreContext, 'owner'>,
  name: string,
): Promise<VirtualNode> {
  const archive = await opener.open()
  archive.warm()
  // The mount lives as long as its archive is open.
  archive.references++
  if (inside === undefined) return new ArchiveRoot(ROOT, undefined, '', context.owner, opener, { entryTtl: FOREVER })
  let dirEnd = archive.pxar.rootEnd
  let entry: Entry | undefined
  const names = keyOf(inside).split('/')
  for (const [i, part] of names.entries()) {
    const found = await archive.lookup(dirEnd, Buffer.from(part, 'latin1'))
    const shown = `${name}:${escapeName(Buffer.from(names.slice(0, i + 1).join('/'), 'latin1'))}`
    if (found === undefined) throw new SourceError(`${shown}: no such file or directory`, { path: shown, code: 'ENOENT' })
    entry = found
    if ((found.attr.mode & S_IFMT) === S_IFDIR) dirEnd = offsetOf({ hi: found.idHi, lo: found.idLo })
    else if (i < names.length - 1) throw new SourceError(`${shown}: not a directory`, { path: shown, code: 'ENOTDIR' })
  }
  if ((entry!.attr.mode & S_IFMT) === S_IFDIR) {
    return new ArchiveRoot(ROOT, undefined, '', context.owner, opener, { dirEnd, entryTtl: FOREVER })
  }
  const last = Buffer.from(names.at(-1)!, 'latin1')
  const parentEnd = dirEnd
  return new SingleDir(ROOT, context.owner, last, async () => archive.lookup(parentEnd, last))
}

async function openLoneArchive(source: ArchiveSource, settings: OpenSettings): Promise<OpenTree> {
  const files = await Promise.all(source.files.map((file) => openPlainFile(file)))
  const [meta, payload] = files
  const registry = new NodeRegistry()
  const archives = archiveSet(settings)
  const name = escapeName(Buffer.from(source.files[0]!))
  const spec = {
    key: name,
    name,
    openStreams: () => ({ meta: meta!, ...(payload === undefined ? {} : { payload }) }),
    countLinks: linkPass(undefined, basename(name)),
  }
  const opener = { mtimeSec: 0, open: () => archives.open(spec, ROOT) }
  const context = { registry, archives, owner: processOwner() }
  const close = async (): Promise<void> => {
    archives.close()
    await Promise.all(files.map((file) => file.close()))
  }
  try {
    const root = await enterArchive(opener, source.inside, context, name)
    return {
      tree: makeTree(root, context, settings, files.reduce((sum, file) => sum + file.size, 0)),
      cache: undefined,
      loader: undefined,
      sources: () => [{ path: name, kind: 'archive file', state: 'ok' }],
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

function makeTree(
  root: VirtualNode,
  context: Pick<StoreContext, 'registry' | 'archives' | 'owner'>,
  settings: OpenSettings,
  totalBytes: number,
): Tree {
  context.registry.add(root)
  const files = { status: settings.renderStatus, errors: () => settings.problems.render() }
  const control = context.registry.intern(
    CONTROL_DIR,
    (id) => new ControlDir(id, root, context.registry, context.owner, files),
  )
  return new MountTree(root, control, context.registry, context.archives, () => ({ totalBytes, files: 0 }))
}

function archiveSet(settings: OpenSettings): ArchiveSet {
  return new ArchiveSet((error, archive, name) => {
    const context = { archive, ...(name === undefined ? {} : { name: escapeName(name) }) }
    if (settings.problems.add(error, context)) {
      settings.log.warn(error instanceof Error ? error.message : String(error), context)
    }
  })
}

function processOwner(): Owner {
  return { uid: process.getuid!(), gid: process.getgid!() }
}

async function requireName(names: readonly string[], name: string, selector: Selector): Promise<void> {
  if (!names.includes(name)) throw notThere(selector, 'there is no such namespace')
}

function notThere(selector: Selector, why: string): SourceError {
  const shown = formatSelector(selector)
  return new SourceError(`${shown}: ${why}`, { path: shown, operation: 'open', code: 'ENOENT' })
}


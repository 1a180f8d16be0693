import type { Worker } from 'node:worker_threads'
import { escapeName } from '../bytes/names.js'
import { AbortedError, fromPlainError, SourceError } from '../errors/errors.js'
import type {
  Datastore, GroupInfo, GroupRef, Listing, LocalSourceDescriptor, Namespace, ServerPlace, SnapshotEntry,
  SnapshotFile, SnapshotInfo, SnapshotLock, SnapshotManifest, SnapshotRef, StoreInfo,
} from './datastore.js' // prettier-ignore
import { showPath } from './fs-paths.js'
import type { Manifest } from './manifest.js'
import { OPEN_ID, type StoreMethod, type StoreReply, type StoreRequest, type StoreThreadData } from './store-messages.js'
import { startStoreThread } from './start-store-thread.js'

/** A call that takes this long is reported: a dead file server, a disk that hangs. */
const DEFAULT_STALL_MS = 30_000
/** How long `close` waits for a thread that does not end (it may hang in the kernel). */
const CLOSE_WAIT_MS = 2_000

export interface Stall {
  readonly operation: StoreMethod | 'open'
  /** What the call was about: store and item. */
  readonly path: string
  /** How long it has taken so far. */
  readonly seconds: number
  /** true: the call that was reported before has ended. */
  readonly recovered: boolean
}

export interface StoreThreadOptions {
  readonly stallMs?: number
  /** Called once when a call is overdue, and once more when that call ends. */
  readonly onStall?: (stall: Stall) => void
  /** The thread, when one runs already. */
  readonly worker?: Worker | undefined
}

interface Call {
  readonly operation: Stall['operation']
  readonly path: string
  readonly since: number
  reported: boolean
  resolve(result: never): void
  reject(error: unknown): void
}

/**
 * Opens a datastore directory in a thread of its own, so that storage that does not answer never
 * blocks the caller. Rejects as `openLocalDatastore` throws. The thread keeps the process alive
 * only while a call is under way.
 */
export async function openStoreThread(descriptor: LocalSourceDescriptor, options: StoreThreadOptions = {}): Promise<StoreThread> {
  const thread = new StoreThread(descriptor, options)
  try {
    await thread.opened
  } catch (error) {
    await thread.close()
    throw error
  }
  return thread
}

export class StoreThread implements Datastore {
  readonly descriptor: LocalSourceDescriptor
  /** Resolves when the store is open. */
  readonly opened: Promise<void>
  readonly #worker: Worker
  readonly #calls = new Map<number, Call>()
  readonly #stallMs: number
  readonly #onStall: ((stall: Stall) => void) | undefined
  #nextId = OPEN_ID
  #watchdog: NodeJS.Timeout | undefined
  #ended: Error | undefined
  #closing: Promise<void> | undefined

  constructor(descriptor: LocalSourceDescriptor, options: StoreThreadOptions = {}) {
    this.descriptor = descriptor
    this.#stallMs = options.stallMs ?? DEFAULT_STALL_MS
    this.#onStall = options.onStall
    this.#worker = options.worker ?? startStoreThread()
    this.#worker.postMessage({ descriptor } satisfies StoreThreadData)
    this.#worker.on('message', (reply: StoreReply) => this.#settle(reply))
    this.#worker.on('error', (error) => this.#end(error))
    this.#worker.on('exit', () => this.#end(new AbortedError('the thread that reads the datastore has ended')))
    this.opened = this.#register<void>('open', []).promise
  }

  describe(): Promise<StoreInfo> {
    return this.#call('describe')
  }

  listNamespaces(ns: Namespace): Promise<Listing<string>> {
    return this.#call('listNamespaces', ns)
  }

  listGroups(ns: Namespace): Promise<Listing<GroupRef>> {
    return this.#call('listGroups', ns)
  }

  listSnapshots(group: GroupRef): Promise<Listing<SnapshotEntry>> {
    return this.#call('listSnapshots', group)
  }

  groupInfo(group: GroupRef): Promise<GroupInfo> {
    return this.#call('groupInfo', group)
  }

  snapshotInfo(snapshot: SnapshotRef): Promise<SnapshotInfo | undefined> {
    return this.#call('snapshotInfo', snapshot)
  }

  readManifest(snapshot: SnapshotRef): Promise<SnapshotManifest> {
    return this.#call('readManifest', snapshot)
  }

  listFiles(snapshot: SnapshotRef, manifest?: Pick<Manifest, 'files'>): Promise<readonly SnapshotFile[]> {
    return this.#call('listFiles', snapshot, manifest)
  }

  readFile(snapshot: SnapshotRef, name: string, maxBytes: number): Promise<Uint8Array> {
    return this.#call('readFile', snapshot, name, maxBytes)
  }

  readPart(snapshot: SnapshotRef, name: string, offset: number, length: number): Promise<Uint8Array> {
    return this.#call('readPart', snapshot, name, offset, length)
  }

  lockSnapshot(snapshot: SnapshotRef, server: ServerPlace): Promise<SnapshotLock | undefined> {
    return this.#call('lockSnapshot', snapshot, server)
  }

  unlockSnapshot(snapshot: SnapshotRef, id: number): Promise<void> {
    return this.#call('unlockSnapshot', snapshot, id)
  }

  /** Ends the thread, which gives up its locks; calls under way reject. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#terminate()
    return this.#closing
  }

  async #terminate(): Promise<void> {
    this.#end(new AbortedError('the datastore was closed'))
    let timer: NodeJS.Timeout | undefined
    const waited = new Promise<void>((resolve) => (timer = setTimeout(resolve, CLOSE_WAIT_MS)))
    await Promise.race([this.#worker.terminate(), waited])
    clearTimeout(timer)
    this.#worker.unref()
  }

  #call<T>(method: StoreMethod, ...args: readonly unknown[]): Promise<T> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    const { id, promise } = this.#register<T>(method, args)
    const request: StoreRequest = { id, method, args }
    this.#worker.postMessage(request)
    return promise
  }

  #register<T>(operation: Call['operation'], args: readonly unknown[]): { id: number; promise: Promise<T> } {
    const id = this.#nextId++
    if (this.#calls.size === 0) this.#worker.ref()
    const promise = new Promise<T>((resolve, reject) => {
      const path = describeCall(this.descriptor, args)
      this.#calls.set(id, { operation, path, since: performance.now(), reported: false, resolve, reject })
    })
    this.#watch()
    return { id, promise }
  }

  #settle(reply: StoreReply): void {
    const call = this.#calls.get(reply.id)
    if (call === undefined) return
    this.#remove(reply.id, call)
    if (reply.error === undefined) call.resolve(reply.result as never)
    else call.reject(fromPlainError(reply.error))
  }

  #end(error: Error): void {
    if (this.#ended !== undefined) return
    this.#ended = error instanceof AbortedError ? error : threadFailure(error)
    for (const [id, call] of [...this.#calls]) {
      this.#remove(id, call)
      call.reject(this.#ended)
    }
  }

  #remove(id: number, call: Call): void {
    this.#calls.delete(id)
    if (call.reported) this.#report(call, true)
    if (this.#calls.size > 0) return
    this.#worker.unref()
    clearTimeout(this.#watchdog)
    this.#watchdog = undefined
  }

  /** One timer for all calls, set to the moment the oldest unreported one is overdue. */
  #watch(): void {
    if (this.#watchdog !== undefined || this.#onStall === undefined) return
    const now = performance.now()
    let wait = Infinity
    for (const call of this.#calls.values()) {
      if (!call.reported) wait = Math.min(wait, call.since + this.#stallMs - now)
    }
    if (wait === Infinity) return
    this.#watchdog = setTimeout(() => this.#reportStalled(), Math.max(wait, 1)).unref()
  }

  #reportStalled(): void {
    this.#watchdog = undefined
    const now = performance.now()
    for (const call of this.#calls.values()) {
      if (call.reported || now - call.since < this.#stallMs) continue
      call.reported = true
      this.#report(call, false)
    }
    this.#watch()
  }

  #report({ operation, path, since }: Call, recovered: boolean): void {
    this.#onStall?.({ operation, path, seconds: Math.round((performance.now() - since) / 1000), recovered })
  }
}

function threadFailure(cause: Error): SourceError {
  const message = `the thread that reads the datastore failed: ${cause.message}`
  return new SourceError(message, { operation: 'thread', retryable: false }, { cause })
}

/** What a call is about, for people. */
function describeCall(descriptor: LocalSourceDescriptor, args: readonly unknown[]): string {
  const parts = [showPath(typeof descriptor.path === 'string' ? descriptor.path : Buffer.from(descriptor.path))]
  const place = args[0] as Namespace | GroupRef | SnapshotRef | undefined
  if (place !== undefined) {
    const group = 'group' in place ? place.group : 'id' in place ? place : undefined
    const ns = group === undefined ? (place as Namespace) : group.ns
    parts.push(...ns.flatMap((name) => ['ns', name]))
    if (group !== undefined) parts.push(group.type, group.id)
    if ('time' in place) parts.push(place.time)
  }
  if (typeof args[1] === 'string') parts.push(args[1])
  return parts.map((part, i) => (i === 0 ? part : escapeName(part))).join('/')
}

import { Worker } from 'node:worker_threads'
import type { SharedRange } from '../bytes/read-at.js'
import type { Log } from '../errors/log.js'
import type { FileRun, NodeId, RunFile, Tree } from '../tree/tree.js'
import type { PushBatch, PushedBatch, PusherSetup } from './push-messages.js'
import { PushPlan, type Window } from './push-plan.js'

/** Larger files are worth a READ. */
const MAX_FILE = 16 * 1024

/** Contents in one window. */
const MAX_WINDOW_BYTES = 2 * 1024 * 1024

/** Files handed to the thread at once. */
const BATCH = 32

/** Batches on their way; a window that finds more is dropped, its files are read as usual. */
const MAX_BATCHES = 16

/**
 * Puts small files into the kernel's page cache when somebody goes through a directory: the
 * reader then needs no request for them. Only contents that are decoded and verified go out.
 */
export class Pusher {
  readonly #tree: Tree
  readonly #log: Log
  readonly #plan = new PushPlan()
  readonly #worker: Worker
  readonly #pinned = new Map<number, SharedRange[]>()
  #nextId = 1
  #stored = 0
  #stopped = false

  constructor(tree: Tree, setup: PusherSetup, log: Log) {
    this.#tree = tree
    this.#log = log
    this.#worker = new Worker(new URL('./push-thread.js', import.meta.url), { workerData: setup, name: 'pbsfs-push' })
    this.#worker.unref()
    this.#worker.on('message', (done: PushedBatch) => this.#finish(done))
    this.#worker.on('error', (error) => this.#fail(error))
  }

  /** Files pushed so far. */
  get stored(): number {
    return this.#stored
  }

  /** The node was read from its start. */
  noteRead(node: NodeId): void {
    if (this.#stopped) return
    const run = this.#tree.run?.(node)
    if (run === undefined) return
    const window = this.#plan.read(run.directory, run.index, run.count)
    if (window !== undefined) void this.#push(run, window)
  }

  /** Pushes nothing more. The thread ends by itself once it has no write under way. */
  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    void this.#worker.terminate()
  }

  async #push(run: FileRun, window: Window): Promise<void> {
    let left = MAX_WINDOW_BYTES
    let batch: number[] = []
    let ranges: SharedRange[] = []
    for (let i = window.from; i < window.to && left > 0 && !this.#stopped; i++) {
      if (i === window.marker) continue
      const file = fileAt(run, i)
      if (file === undefined || file.content.size > MAX_FILE) continue
      const range = await share(file)
      if (range === undefined) continue
      left -= file.content.size
      batch.push(file.idHi, file.idLo, range.offset, file.content.size)
      ranges.push(range)
      if (ranges.length < BATCH) continue
      if (!this.#send(batch, ranges)) return
      batch = []
      ranges = []
    }
    this.#send(batch, ranges)
  }

  #send(batch: number[], ranges: SharedRange[]): boolean {
    if (batch.length === 0) return true
    if (this.#stopped || this.#pinned.size >= MAX_BATCHES) {
      for (const range of ranges) range.release()
      return false
    }
    const id = this.#nextId++
    this.#pinned.set(id, ranges)
    this.#worker.postMessage({ id, files: Float64Array.from(batch) } satisfies PushBatch)
    return true
  }

  #finish({ id, stored, gone, fault }: PushedBatch): void {
    this.#stored += stored
    for (const range of this.#pinned.get(id) ?? []) range.release()
    this.#pinned.delete(id)
    if (gone) this.stop()
    if (fault !== undefined) this.#fail(new Error(fault))
  }

  /** Reading works without it. */
  #fail(error: Error): void {
    if (!this.#stopped) this.#log.error('pushing small files has failed and is off', { error: error.message })
    this.stop()
  }
}

/** Where the content lies in shared memory; loads its chunk when that is not there yet. */
async function share({ content: { stream, start, size } }: RunFile): Promise<SharedRange | undefined> {
  if (stream.share === undefined) return undefined
  const range = stream.share(start, size)
  if (range !== undefined) return range
  try {
    await stream.read(start, 1)
  } catch {
    // The reader will hear of it.
    return undefined
  }
  return stream.share(start, size)
}

function fileAt(run: FileRun, index: number): RunFile | undefined {
  try {
    return run.fileAt(index)
  } catch {
    // Damaged: the same.
    return undefined
  }
}


import { Worker } from 'node:worker_threads'
import { SMALL_HEAP } from '../bytes/limits.js'
import type { SharedRange } from '../bytes/read-at.js'
import type { Log } from '../errors/log.js'
import type { NodeId, StoredFile, Tree } from '../tree/tree.js'
import type { PushBatch, PushedBatch, PusherSetup } from './push-messages.js'
import { MARKER, PushPlan, WINDOW } from './push-plan.js'

/** Larger files are worth a READ. */
const MAX_FILE = 16 * 1024

/** Contents in one window. */
const MAX_WINDOW_BYTES = 2 * 1024 * 1024

/** Files handed to the thread at once, first and later. */
const FIRST_BATCH = 4
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
    this.#worker = new Worker(new URL('./push-thread.js', import.meta.url), {
      workerData: setup,
      name: 'pbsfs-push',
      resourceLimits: SMALL_HEAP,
    })
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
    const step = this.#plan.read(keyOf(node.hi, node.lo))
    if (step.kind === 'watch') {
      const next = this.#next(node)
      this.#plan.expect(next === undefined ? undefined : keyOf(next.idHi, next.idLo))
    } else if (step.kind === 'push') {
      this.#pushBehind(nodeOf(step.after))
    }
  }

  /** Pushes nothing more. The thread ends by itself once it has no write under way. */
  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    void this.#worker.terminate()
  }

  /** Pushes a window of files behind `node`: at once what is in memory, the rest when it is there. */
  #pushBehind(node: NodeId): void {
    const keys: string[] = []
    const rest: StoredFile[] = []
    const batches = new Batches((files, ranges) => this.#send(files, ranges))
    let bytes = 0
    let next = this.#next(node)
    while (next !== undefined && keys.length < WINDOW && bytes < MAX_WINDOW_BYTES) {
      const { size } = next.content
      if (keys.length !== MARKER && size > 0 && size <= MAX_FILE) {
        bytes += size
        const range = rest.length > 0 ? undefined : next.content.stream.share?.(next.content.start, size)
        if (range === undefined) rest.push(next)
        else batches.add(next, range)
      }
      keys.push(keyOf(next.idHi, next.idLo))
      next = this.#next({ hi: next.idHi, lo: next.idLo })
    }
    batches.flush()
    this.#plan.pushed(keys)
    if (rest.length > 0) void this.#pushLater(rest)
  }

  async #pushLater(files: readonly StoredFile[]): Promise<void> {
    const batches = new Batches((batch, ranges) => this.#send(batch, ranges))
    for (const file of files) {
      if (this.#stopped) break
      const range = await share(file)
      if (range !== undefined) batches.add(file, range)
    }
    batches.flush()
  }

  #next(node: NodeId): StoredFile | undefined {
    try {
      return this.#tree.nextFile?.(node)
    } catch {
      // Damaged: whoever reads it will hear of it.
      return undefined
    }
  }

  #send(files: Float64Array, ranges: SharedRange[]): void {
    if (this.#stopped || this.#pinned.size >= MAX_BATCHES) {
      for (const range of ranges) range.release()
      return
    }
    const id = this.#nextId++
    this.#pinned.set(id, ranges)
    this.#worker.postMessage({ id, files } satisfies PushBatch)
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

/** Collects files for the thread. The first batches are short: the reader is close behind. */
class Batches {
  readonly #send: (files: Float64Array, ranges: SharedRange[]) => void
  #numbers: number[] = []
  #ranges: SharedRange[] = []
  #limit = FIRST_BATCH

  constructor(send: (files: Float64Array, ranges: SharedRange[]) => void) {
    this.#send = send
  }

  add(file: StoredFile, range: SharedRange): void {
    this.#numbers.push(file.idHi, file.idLo, range.offset, file.content.size)
    this.#ranges.push(range)
    if (this.#ranges.length >= this.#limit) this.flush()
  }

  flush(): void {
    if (this.#ranges.length === 0) return
    this.#send(Float64Array.from(this.#numbers), this.#ranges)
    this.#numbers = []
    this.#ranges = []
    this.#limit = Math.min(this.#limit * 2, BATCH)
  }
}

/** Where the content lies in shared memory; loads its chunk when that is not there yet. */
async function share({ content: { stream, start, size } }: StoredFile): Promise<SharedRange | undefined> {
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

function keyOf(hi: number, lo: number): string {
  return `${hi}:${lo}`
}

function nodeOf(key: string): NodeId {
  const [hi, lo] = key.split(':').map(Number) as [number, number]
  return { hi, lo }
}

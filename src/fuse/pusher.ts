import { Worker } from 'node:worker_threads'
import { SMALL_HEAP } from '../bytes/limits.js'
import type { ReadAt, SharedRange } from '../bytes/read-at.js'
import type { Log } from '../errors/log.js'
import { FILE_RUN_FIELDS, type DirFiles, type FileRun, type NodeId, type Tree } from '../tree/tree.js'
import { BATCH_FIELDS, type PushBatch, type PushedBatch, type PusherSetup } from './push-messages.js'
import { PushPlan, type Window } from './push-plan.js'

/** Larger files are worth a READ. */
const MAX_FILE = 16 * 1024

/** Files handed to the thread at once, first and later: at first the reader is close behind. Each time wakes the thread. */
const FIRST_BATCH = 4
const BATCH = 128

/** Longest piece of memory that is held for a batch as a whole. */
const MAX_SPAN = 4 * 1024 * 1024

/** Batches on their way; a window that finds more is dropped, its files are read as usual. */
const MAX_BATCHES = 16

/** Directories whose files are recognised without asking the tree. */
const KNOWN_DIRS = 16

/**
 * Puts small files into the kernel's page cache when somebody goes through a directory: the
 * reader then needs no request for them. Only contents that are decoded and verified go out.
 */
export class Pusher {
  readonly #tree: Tree
  readonly #log: Log
  readonly #plan = new PushPlan()
  readonly #setup: PusherSetup
  /** Started when there is something to push. */
  #worker: Worker | undefined
  readonly #pinned = new Map<number, SharedRange[]>()
  /** The one used last comes first. */
  #dirs: readonly DirFiles[] = []
  #nextId = 1
  #stored = 0
  #stopped = false

  constructor(tree: Tree, setup: PusherSetup, log: Log) {
    this.#tree = tree
    this.#setup = setup
    this.#log = log
  }

  /** Files pushed so far. */
  get stored(): number {
    return this.#stored
  }

  /** Its thread is at work. */
  get pushing(): boolean {
    return this.#pinned.size > 0
  }

  /** The file was read from its start. */
  noteRead(file: NodeId, caller: number): void {
    if (this.#stopped) return
    for (const dir of this.#dirs) {
      const index = dir.indexOf(file)
      if (index >= 0) return this.#read(dir, index, caller)
    }
    void this.#lookUp(file, caller)
  }

  /** The directory was listed to its end; before that the kernel may not know its files. */
  noteListed(node: NodeId, caller: number): void {
    if (this.#stopped) return
    const dir = this.#tree.filesIn?.(node)
    const window = dir === undefined ? undefined : this.#plan.listed(dir.key, caller)
    if (window === undefined) return
    this.#know(dir!)
    void this.#push(dir!, window, caller)
  }

  /** Pushes nothing more. The thread ends by itself once it has no write under way. */
  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    void this.#worker?.terminate()
  }

  async #lookUp(file: NodeId, caller: number): Promise<void> {
    try {
      const dir = await this.#tree.filesBeside?.(file)
      const index = dir?.indexOf(file) ?? -1
      if (index < 0 || this.#stopped) return
      this.#know(dir!)
      this.#read(dir!, index, caller)
    } catch {
      // Damaged: whoever reads or lists it will hear of it.
    }
  }

  #know(dir: DirFiles): void {
    this.#dirs = [dir, ...this.#dirs.filter(({ key }) => key !== dir.key)].slice(0, KNOWN_DIRS)
  }

  #read(dir: DirFiles, index: number, caller: number): void {
    const window = this.#plan.read(dir.key, index, caller)
    if (window !== undefined) void this.#push(dir, window, caller)
  }

  /** Pushes a window: at once what is in memory, the rest when it is there. */
  async #push(dir: DirFiles, { from, to }: Window, caller: number): Promise<void> {
    for (let at = from; !this.#stopped; ) {
      const run = dir.run(at, to)
      this.#pushRun(dir, run, at, caller)
      if (run.loading === undefined) return
      try {
        await run.loading
      } catch {
        // The reader will hear of it.
        return
      }
      at = run.end
    }
  }

  #pushRun(dir: DirFiles, { stream, files }: FileRun, from: number, caller: number): void {
    if (stream?.share === undefined) return
    const wanted: number[] = []
    for (let i = 0; i < files.length; i += FILE_RUN_FIELDS) {
      const size = files[i + 3]!
      if (size > 0 && size <= MAX_FILE && !this.#plan.leavesOut(dir.key, files[i + 4]!, caller)) wanted.push(i)
    }
    let limit = from === 0 ? BATCH : FIRST_BATCH
    for (let i = 0; i < wanted.length; ) {
      const batch = wanted.slice(i, i + limit)
      this.#pushBatch(stream, files, batch)
      i += batch.length
      limit = Math.min(limit * 2, BATCH)
    }
  }

  #pushBatch(stream: ReadAt, files: Float64Array, batch: readonly number[]): void {
    const first = files[batch[0]! + 2]!
    const end = files[batch.at(-1)! + 2]! + files[batch.at(-1)! + 3]!
    const ascending = batch.every((at, i) => i === 0 || files[at + 2]! > files[batch[i - 1]! + 2]!)
    const whole = ascending && end - first <= MAX_SPAN ? stream.share!(first, end - first) : undefined
    if (whole !== undefined) stream.noteRead?.(first, end - first)
    const packed = new Float64Array(batch.length * BATCH_FIELDS)
    const ranges: SharedRange[] = whole === undefined ? [] : [whole]
    let used = 0
    for (const at of batch) {
      const start = files[at + 2]!
      const size = files[at + 3]!
      let offset: number
      if (whole === undefined) {
        const range = stream.share!(start, size)
        if (range === undefined) continue
        ranges.push(range)
        offset = range.offset
      } else {
        offset = whole.offset + start - first
      }
      packed[used] = files[at]!
      packed[used + 1] = files[at + 1]!
      packed[used + 2] = offset
      packed[used + 3] = size
      used += BATCH_FIELDS
    }
    if (used > 0) this.#send(packed.subarray(0, used), ranges)
  }

  #send(files: Float64Array, ranges: SharedRange[]): void {
    if (this.#stopped || this.#pinned.size >= MAX_BATCHES) {
      for (const range of ranges) range.release()
      return
    }
    const id = this.#nextId++
    this.#pinned.set(id, ranges)
    this.#worker ??= this.#start()
    this.#worker.postMessage({ id, files } satisfies PushBatch)
  }

  #start(): Worker {
    const worker = new Worker(new URL('./push-thread.js', import.meta.url), {
      workerData: this.#setup,
      name: 'pbsfs-push',
      resourceLimits: SMALL_HEAP,
    })
    worker.unref()
    worker.on('message', (done: PushedBatch) => this.#finish(done))
    worker.on('error', (error) => this.#fail(error))
    return worker
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

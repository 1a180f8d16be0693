import type { Worker } from 'node:worker_threads'
import { fromPlainError, SourceError } from '../errors/errors.js'
import type { DecodeRequest, DecodeResult, DecoderHello, DecoderKey, DecoderSetup, ToDecoder } from './messages.js'
import { startDecodeThread } from './start-decode-thread.js'

/**
 * Somebody waits for a few bytes of it, as for a directory; somebody waits for it; it will probably be wanted soon;
 * whenever nothing else is to do.
 */
export type Priority = 'urgent' | 'demand' | 'prefetch' | 'background'

const PRIORITIES: readonly Priority[] = ['urgent', 'demand', 'prefetch', 'background']

/** Requests a thread holds at once: the one it works on and the next, so that it never waits. */
const DEPTH = 2

/** Threads that may die, over the life of the pool, before it gives up. */
const MAX_CRASHES = 16

export type DecodeWork = Omit<DecodeRequest, 'id' | 'answers'> & {
  /** Asked for when the request goes out, so that what came up meanwhile is answered too. */
  readonly takeAnswers: () => DecodeRequest['answers']
  readonly finish: (result: DecodeEnd) => void
  priority: Priority
  /** Set by the pool when the request has gone to a thread. */
  started: boolean
}

/** How a piece of work ended. */
export interface DecodeEnd {
  readonly error?: Error
  readonly unsent: readonly number[]
  /** Number of the source that had the chunk when the first could not give it, and why it could not. */
  readonly substitute?: { readonly source: number; readonly error: Error }
}

interface Decoder {
  readonly worker: Worker
  readonly inFlight: Map<number, DecodeWork>
  ready: boolean
}

/**
 * Threads that turn blobs into verified chunks: one from the start, others when there is work for
 * them, or with `fill`. Every piece of work handed in is finished exactly once, also when its thread dies.
 */
export class DecodePool {
  readonly #setup: DecoderSetup
  /** Threads at most. */
  #size: number
  readonly #keys: DecoderKey[]
  readonly #decoders = new Set<Decoder>()
  readonly #queues: Record<Priority, DecodeWork[]> = { urgent: [], demand: [], prefetch: [], background: [] }
  #nextId = 1
  #crashes = 0
  #closed = false
  #failure: Error | undefined

  /** `first`: a decode thread that runs already. */
  constructor(size: number, setup: DecoderSetup, first?: Worker) {
    this.#size = size
    this.#setup = setup
    this.#keys = [...(setup.keys ?? [])]
    this.#start(first)
  }

  get size(): number {
    return this.#size
  }

  /** Starts all threads: one that is started when there is work takes its first chunk 0.05 to 0.1 s later. */
  fill(): void {
    while (!this.#closed && this.#failure === undefined && this.#decoders.size < this.#size) this.#start()
  }

  /** Work submitted from now on may name the key. */
  addKey(added: DecoderKey): void {
    this.#keys.push(added)
    for (const { worker } of this.#decoders) worker.postMessage({ addKey: added } satisfies ToDecoder)
  }

  submit(work: DecodeWork): void {
    if (this.#closed || this.#failure !== undefined) {
      const error = this.#failure ?? new SourceError('decoding has ended', { operation: 'decode' })
      queueMicrotask(() => work.finish({ error, unsent: [] }))
      return
    }
    this.#queues[work.priority].push(work)
    this.#dispatch()
    const { threads, running, queued } = this.stats()
    if (threads < this.#size && running + queued > threads * DEPTH) this.#start()
  }

  /** Moves work that is still queued to a more urgent queue. */
  promote(work: DecodeWork, priority: Priority): void {
    if (work.started || PRIORITIES.indexOf(priority) >= PRIORITIES.indexOf(work.priority)) return
    const queue = this.#queues[work.priority]
    const at = queue.indexOf(work)
    if (at < 0) return
    queue.splice(at, 1)
    work.priority = priority
    this.#queues[priority].push(work)
    this.#dispatch()
  }

  stats(): { threads: number; running: number; queued: number; crashes: number } {
    let running = 0
    for (const decoder of this.#decoders) running += decoder.inFlight.size
    const queued = PRIORITIES.reduce((sum, priority) => sum + this.#queues[priority].length, 0)
    return { threads: this.#decoders.size, running, queued, crashes: this.#crashes }
  }

  /** Ends the threads; work that is not done is finished with an error. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const decoders = [...this.#decoders]
    this.#fail(new SourceError('decoding has ended', { operation: 'decode' }))
    await Promise.all(decoders.map((decoder) => decoder.worker.terminate()))
  }

  #start(worker: Worker = startDecodeThread()): void {
    const decoder: Decoder = { worker, inFlight: new Map(), ready: false }
    this.#decoders.add(decoder)
    worker.postMessage({ setup: { ...this.#setup, keys: this.#keys } } satisfies ToDecoder)
    worker.on('message', (message: DecodeResult | DecoderHello) => {
      if ('hello' in message) this.#greet(decoder, message)
      else this.#complete(decoder, message)
    })
    worker.on('error', (error: unknown) => this.#lose(decoder, error))
    worker.on('exit', (code) => this.#lose(decoder, new Error(`exit code ${code}`)))
    // The pool alone does not keep the process alive; whoever waits for a chunk does.
    worker.unref()
  }

  #greet(decoder: Decoder, hello: DecoderHello): void {
    if (hello.error !== undefined) {
      if (!this.#doWithout(decoder)) this.#fail(fromPlainError(hello.error))
      return
    }
    decoder.ready = true
    this.#dispatch()
  }

  #complete(decoder: Decoder, result: DecodeResult): void {
    const work = decoder.inFlight.get(result.id)
    if (work === undefined) return
    decoder.inFlight.delete(result.id)
    if (decoder.inFlight.size === 0) decoder.worker.unref()
    this.#dispatch()
    work.finish({
      unsent: result.unsent ?? [],
      ...(result.error === undefined ? {} : { error: fromPlainError(result.error) }),
      ...(result.substitute === undefined
        ? {}
        : { substitute: { source: result.substitute.source, error: fromPlainError(result.substitute.error) } }),
    })
  }

  #dispatch(): void {
    for (let depth = 0; depth < DEPTH; depth++) {
      for (const decoder of this.#decoders) {
        if (!decoder.ready || decoder.inFlight.size !== depth) continue
        const work = this.#next()
        if (work === undefined) return
        this.#send(decoder, work)
      }
    }
  }

  #next(): DecodeWork | undefined {
    for (const priority of PRIORITIES) {
      const work = this.#queues[priority].shift()
      if (work !== undefined) return work
    }
    return undefined
  }

  #send(decoder: Decoder, work: DecodeWork): void {
    const id = this.#nextId++
    work.started = true
    decoder.inFlight.set(id, work)
    decoder.worker.ref()
    const request: DecodeRequest = {
      id,
      digest: work.digest,
      offset: work.offset,
      length: work.length,
      encrypted: work.encrypted,
      keyId: work.keyId,
      stream: work.stream,
      answers: work.takeAnswers(),
    }
    decoder.worker.postMessage(request)
  }

  #lose(decoder: Decoder, reason: unknown): void {
    if (!this.#decoders.delete(decoder)) return
    const error = new SourceError('a decode thread ended unexpectedly', { operation: 'decode' }, { cause: reason })
    const lost = [...decoder.inFlight.values()]
    decoder.inFlight.clear()
    if (!this.#closed) {
      this.#crashes++
      if (decoder.ready && this.#crashes <= MAX_CRASHES) this.#start()
      else if (decoder.ready || !this.#doWithout(decoder)) this.#fail(error)
    }
    // Whether an answer left before the thread died is unknown: to the kernel a second one is no harm.
    for (const work of lost) work.finish({ error, unsent: [] })
  }

  /** A thread that cannot be had is no loss while others work; false: there are none. */
  #doWithout(decoder: Decoder): boolean {
    if (![...this.#decoders].some((other) => other !== decoder && other.ready)) return false
    this.#decoders.delete(decoder)
    void decoder.worker.terminate()
    this.#size = this.#decoders.size
    return true
  }

  #fail(error: Error): void {
    this.#failure ??= error
    const abandoned = PRIORITIES.flatMap((priority) => this.#queues[priority].splice(0))
    for (const decoder of this.#decoders) {
      abandoned.push(...decoder.inFlight.values())
      decoder.inFlight.clear()
    }
    for (const work of abandoned) work.finish({ error, unsent: [] })
  }
}

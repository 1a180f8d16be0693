import { performance } from 'node:perf_hooks'
import { viewOf } from '../bytes/le.js'
import type { ErrorFields } from '../errors/errors.js'
import type { Log } from '../errors/log.js'
import type { MaybePromise, NodeId, Tree } from '../tree/tree.js'
import { AttrBridge } from './attr-bridge.js'
import type { FuseDevice } from './device.js'
import { ERRNO, errnoOf, isBug, isOrdinary } from '../errors/errno.js'
import { ListingPool } from './listing.js'
import type { Pusher } from './pusher.js'
import type { SessionOptions } from './options.js'
import type { Negotiated } from './protocol/init.js'
import { opcodeName } from './protocol/opcodes.js'
import { FUSE_OUT_HEADER_SIZE, writeOutHeader } from './protocol/reply.js'
import { FuseRequest } from './protocol/request.js'
import { RequestStats } from './stats.js'

/** Largest reply that is copied behind its header instead of being written in two pieces. */
const COPY_LIMIT = 32 * 1024

/** A request that waits longer is named in the log, once. */
const SLOW_MS = 10_000
/** How often waiting requests are looked after. */
const TEND_MS = 50

const HEADER = FUSE_OUT_HEADER_SIZE

/** A request on its way to its one answer. */
export class PendingRequest extends FuseRequest {
  answered = false
  arrivedMs = 0
  interrupted = false
  reportedSlow = false

  get node(): NodeId {
    return { hi: this.nodeHi, lo: this.nodeLo }
  }
}

/**
 * Takes answers to the kernel: exactly one for each request, whatever happened to it. Handlers
 * write the body of a small reply at `OUT` of `out` and call `send` in the same turn.
 */
export class Exchange {
  readonly tree: Tree
  readonly options: SessionOptions
  readonly bridge: AttrBridge
  readonly stats = new RequestStats()
  readonly listings = new ListingPool()
  readonly log: Log
  readonly out = Buffer.allocUnsafeSlow(HEADER + COPY_LIMIT)
  readonly view = viewOf(this.out)
  /** Set by INIT. */
  negotiated: Negotiated | undefined
  /** Why INIT was refused, if it was. */
  initRefused: string | undefined
  /** Set while small files are pushed. */
  pusher: Pusher | undefined
  readonly #device: FuseDevice
  /** Unanswered requests that wait for something, by their unique number. */
  readonly #waiting = new Map<number, PendingRequest>()
  readonly #putOff: { readonly request: PendingRequest; readonly answer: () => void }[] = []
  #nextTend = 0

  constructor(device: FuseDevice, tree: Tree, options: SessionOptions, log: Log) {
    this.#device = device
    this.tree = tree
    this.options = options
    this.log = log
    this.bridge = new AttrBridge(options.override)
  }

  /** Requests that wait for data. */
  get waiting(): number {
    return this.#waiting.size
  }

  /**
   * Answers with `encode(value)` now, or when the value is there. `encode` must reply, in one
   * go; when it or the promise fails, the errno of that failure is the reply.
   */
  settle<T>(request: PendingRequest, value: MaybePromise<T>, encode: (x: Exchange, request: PendingRequest, value: T) => void): void {
    if (!(value instanceof Promise)) {
      encode(this, request, value)
      return
    }
    this.wait(request)
    value.then(
      (result) => {
        if (request.answered) return
        try {
          encode(this, request, result)
        } catch (error) {
          this.fail(request, error)
        }
      },
      (error: unknown) => this.fail(request, error),
    )
  }

  /** Lets the requests behind this one go first; `answer` must not wait for another turn of the event loop. */
  putOff(request: PendingRequest, answer: () => void): void {
    this.#putOff.push({ request, answer })
  }

  get hasPutOff(): boolean {
    return this.#putOff.length > 0
  }

  /** Answers, or begins to, the oldest request that was put off. False: there is none. */
  answerPutOff(): boolean {
    const next = this.#putOff.shift()
    if (next === undefined) return false
    try {
      next.answer()
    } catch (error) {
      this.fail(next.request, error)
    }
    return true
  }

  /** Notes that the answer comes later, so that an interrupt finds the request. */
  wait(request: PendingRequest): void {
    this.#waiting.set(uniqueKey(request.uniqueHi, request.uniqueLo), request)
  }

  /** Sends the body of `length` bytes that stands at `OUT`. False: the kernel did not take it. */
  send(request: PendingRequest, length: number): boolean {
    if (!this.#claim(request)) return false
    writeOutHeader(this.view, 0, HEADER + length, 0, request.uniqueHi, request.uniqueLo)
    return this.#finish(request, this.#device.write(this.out, HEADER + length), 0, length)
  }

  /** Sends `bytes`. */
  sendBytes(request: PendingRequest, bytes: Uint8Array): boolean {
    if (bytes.length <= COPY_LIMIT) {
      this.out.set(bytes, HEADER)
      return this.send(request, bytes.length)
    }
    if (!this.#claim(request)) return false
    writeOutHeader(this.view, 0, HEADER + bytes.length, 0, request.uniqueHi, request.uniqueLo)
    return this.#finish(request, this.#device.writeParts(this.out.subarray(0, HEADER), bytes), 0, bytes.length)
  }

  /** Sends `bytes[0, HEADER + length)`, a reply whose first 16 bytes are free for the header. */
  sendPrepared(request: PendingRequest, bytes: Uint8Array, view: DataView, length: number): boolean {
    if (!this.#claim(request)) return false
    writeOutHeader(view, 0, HEADER + length, 0, request.uniqueHi, request.uniqueLo)
    return this.#finish(request, this.#device.write(bytes, HEADER + length), 0, length)
  }

  /** Someone else wrote the reply. */
  sentElsewhere(request: PendingRequest, length: number): void {
    if (this.#claim(request)) this.#count(request, 0, length)
  }

  /** Sends an errno. */
  refuse(request: PendingRequest, errno: number): void {
    if (!this.#claim(request)) return
    writeOutHeader(this.view, 0, HEADER, errno, request.uniqueHi, request.uniqueLo)
    this.#finish(request, this.#device.write(this.out, HEADER), errno, 0)
  }

  /** Sends the errno of an error, and says what happened when it is not of the ordinary kind. */
  fail(request: PendingRequest, error: unknown): void {
    if (request.answered) {
      if (isBug(error)) this.log.error('error after the answer', this.#fields(request, error))
      return
    }
    const errno = errnoOf(error)
    if (isBug(error)) this.log.error('bug: a request failed for no named reason', this.#fields(request, error))
    else if (!isOrdinary(error)) this.log.warn('request failed', this.#fields(request, error))
    this.refuse(request, errno)
  }

  /** The end of a request that gets no reply. */
  finishSilently(request: PendingRequest): void {
    if (this.#claim(request)) this.#count(request, 0, 0)
  }

  /**
   * The caller of a request was interrupted. `tend` answers EINTR when the request has waited
   * long. Not at once: programs get signals all the time (timers, children, language runtimes)
   * and most take EINTR from a file system for a failure, while an answer is normally
   * milliseconds away.
   */
  interrupt(uniqueHi: number, uniqueLo: number): void {
    const request = this.#waiting.get(uniqueKey(uniqueHi, uniqueLo))
    if (request !== undefined) request.interrupted = true
  }

  /** Looks after requests that wait: names the slow ones, lets interrupted callers go. Cheap; call often. */
  tend(): void {
    if (this.#waiting.size === 0) return
    const now = performance.now()
    if (now < this.#nextTend) return
    this.#nextTend = now + TEND_MS
    for (const request of this.#waiting.values()) {
      const waitedMs = now - request.arrivedMs
      if (request.interrupted && waitedMs >= this.options.interruptAfterMs) {
        this.refuse(request, ERRNO.EINTR)
      } else if (waitedMs >= SLOW_MS && !request.reportedSlow) {
        request.reportedSlow = true
        this.log.warn('a request waits long for its data', { ...this.#fields(request), seconds: Math.round(waitedMs / 1000) })
      }
    }
  }

  /** How long the oldest unanswered request has waited, in milliseconds; 0 when none waits. */
  get longestWaitMs(): number {
    let oldest = Infinity
    for (const request of this.#waiting.values()) oldest = Math.min(oldest, request.arrivedMs)
    return oldest === Infinity ? 0 : performance.now() - oldest
  }

  /** Answers everything that still waits, when the session ends before its data came. */
  abandonAll(errno: number): void {
    for (const request of [...this.#waiting.values()]) this.refuse(request, errno)
  }

  #claim(request: PendingRequest): boolean {
    if (request.answered) return false
    request.answered = true
    if (this.#waiting.size > 0) this.#waiting.delete(uniqueKey(request.uniqueHi, request.uniqueLo))
    return true
  }

  #finish(request: PendingRequest, written: number, errno: number, length: number): boolean {
    this.#count(request, errno, length)
    if (written >= 0) return true
    // Gone: interrupted and dropped, or the connection ended. The read side will say which.
    if (written === -ERRNO.ENOENT || written === -ERRNO.ENODEV || written === -ERRNO.ECONNABORTED) return false
    this.stats.rejectedReplies++
    this.log.error('the kernel refused a reply', { ...this.#fields(request), errno: -written, bytes: length })
    // After some refusals the request is still waiting; if it is not, this has no effect.
    writeOutHeader(this.view, 0, HEADER, ERRNO.EIO, request.uniqueHi, request.uniqueLo)
    this.#device.write(this.out, HEADER)
    return false
  }

  #count(request: PendingRequest, errno: number, length: number): void {
    const ms = performance.now() - request.arrivedMs
    this.stats.finish(request.opcode, ms, errno, length)
    if (this.options.traceRequests) {
      this.log.debug('request', { ...this.#fields(request), ms: Math.round(ms * 1000) / 1000, errno, bytes: length })
    }
  }

  #fields(request: PendingRequest, error?: unknown): ErrorFields {
    return {
      op: opcodeName(request.opcode),
      node: inodeNumber(request.nodeHi, request.nodeLo),
      unique: request.uniqueHi * 2 ** 32 + request.uniqueLo,
      ...(error === undefined ? {} : describeError(error)),
    }
  }
}

/** Where the body of a small reply stands in `Exchange.out`. */
export const OUT = HEADER

/** As `stat` shows it: a number, or its digits where a number is not exact. */
function inodeNumber(hi: number, lo: number): number | string {
  return hi < 2 ** 21 ? hi * 2 ** 32 + lo : String((BigInt(hi) << 32n) | BigInt(lo))
}

/** The kernel counts requests from 0 in steps of 2: 53 bits tell them apart for ever. */
function uniqueKey(hi: number, lo: number): number {
  return (hi & 0x1f_ffff) * 2 ** 32 + lo
}

function describeError(error: unknown): ErrorFields {
  if (!(error instanceof Error)) return { error: String(error) }
  if (isBug(error)) return { error: error.stack ?? error.message }
  return { error: error.message, ...(error as { fields?: ErrorFields }).fields }
}

import { MountError } from '../errors/errors.js'
import { silentLog, type Log } from '../errors/log.js'
import type { Tree } from '../tree/tree.js'
import { openDevice, type FuseDevice } from './device.js'
import { Dispatcher } from './dispatch.js'
import { ERRNO } from '../errors/errno.js'
import { DEVICE, EventGate, type EventGateOptions } from './event-gate.js'
import { Exchange } from './exchange.js'
import { errnoName, setNonblocking } from './libc.js'
import { Pusher } from './pusher.js'
import { DEFAULT_SESSION_OPTIONS, wishesFor, type SessionOptions } from './options.js'
import { requestBufferSize, type Negotiated } from './protocol/init.js'
import type { OpcodeStats } from './stats.js'

/** Requests answered in a row before promises, messages and timers get their turn. */
const DRAIN_LIMIT = 64

/** Errors that end nothing: a signal, or a request that was withdrawn while it was read. */
const TRANSIENT = new Set([-ERRNO.EINTR, -ERRNO.ENOENT])

export type SessionEnd =
  /** The file system is no longer mounted anywhere. */
  | 'unmounted'
  /** Someone cut the connection (fusectl). */
  | 'aborted'
  /** `stop` was called. */
  | 'stopped'

export interface FuseSessionParts {
  /** The mounted device; stays the caller's to close. */
  readonly fd: number
  readonly tree: Tree
  readonly options?: Partial<SessionOptions> | undefined
  readonly log?: Log | undefined
  readonly gate?: EventGateOptions | undefined
  /** Called once, when the kernel and this program agreed on a protocol. */
  readonly onReady?: ((negotiated: Negotiated) => void) | undefined
}

export interface SessionStats {
  readonly opcodes: readonly OpcodeStats[]
  /** Requests without an answer, and how long the oldest of them has waited. */
  readonly waiting: number
  readonly longestWaitMs: number
  readonly malformed: number
  readonly rejectedReplies: number
  readonly bytesRead: number
  /** Files put into the kernel's page cache before they were asked for. */
  readonly pushed: number
}

/**
 * Answers the requests of one mount, on the thread that calls `run`. While nothing is to do the
 * thread sleeps in one system call that ends when a request comes or when the thread's own event
 * loop has something, so the tree may use promises, messages and files as anywhere else.
 */
export class FuseSession {
  readonly #fd: number
  readonly #gateOptions: EventGateOptions
  readonly #exchange: Exchange
  readonly #dispatcher: Dispatcher
  readonly #device: FuseDevice
  readonly #log: Log
  readonly #onReady: ((negotiated: Negotiated) => void) | undefined
  readonly #buffer: Buffer
  #gate: EventGate | undefined
  #stopping = false
  #end: SessionEnd | undefined
  #ready = false

  constructor(parts: FuseSessionParts) {
    this.#fd = parts.fd
    const options: SessionOptions = { ...DEFAULT_SESSION_OPTIONS, ...parts.options }
    this.#gateOptions = { spinUs: options.spinUs, ...parts.gate }
    this.#log = parts.log ?? silentLog
    this.#buffer = Buffer.allocUnsafeSlow(requestBufferSize(wishesFor(options).maxWrite))
    this.#device = openDevice(parts.fd)
    this.#exchange = new Exchange(this.#device, parts.tree, options, this.#log)
    this.#dispatcher = new Dispatcher(this.#exchange)
    this.#onReady = parts.onReady
  }

  /** Runs until the mount ends or `stop` is called. Rejects with MountError when the kernel is too old. */
  async run(): Promise<SessionEnd> {
    setNonblocking(this.#fd)
    const gate = await EventGate.open(this.#fd, this.#gateOptions)
    this.#gate = gate
    const { pushMemory } = this.#exchange.options
    if (pushMemory !== undefined) {
      this.#exchange.pusher = new Pusher(this.#exchange.tree, { fd: this.#fd, memory: pushMemory }, this.#log)
    }
    try {
      if (gate.canBlock) {
        await new Promise<void>((resolve, reject) => this.#turn(gate, resolve, reject))
      } else {
        this.#log.debug('the event loop cannot be polled: slower waiting is used')
        await this.#runSlowly(gate)
      }
    } finally {
      // Callers must not hang in the kernel on answers that nobody will write.
      this.#exchange.abandonAll(ERRNO.EIO)
      this.#exchange.pusher?.stop()
      gate.close()
      this.#gate = undefined
    }
    return this.#end ?? 'stopped'
  }

  /** Ends `run` at once; what still waits is answered EIO. */
  stop(): void {
    this.#stopping = true
    this.#gate?.wake()
  }

  /** Write WAKE_MESSAGE here from another thread to make this one look at its messages. */
  get wakeFd(): number | undefined {
    return this.#gate?.wakeFd
  }

  stats(): SessionStats {
    const { stats, waiting, longestWaitMs } = this.#exchange
    const { malformed, rejectedReplies, bytesRead } = stats
    const pushed = this.#exchange.pusher?.stored ?? 0
    return { opcodes: stats.toArray(), waiting, longestWaitMs, malformed, rejectedReplies, bytesRead, pushed }
  }

  /**
   * One turn of the event loop. It sleeps only when the turn before it left nothing behind;
   * after requests were answered the loop turns once, while the callers wake up.
   */
  #turn(gate: EventGate, resolve: () => void, reject: (error: unknown) => void): void {
    try {
      const { waiting, pusher, hasPutOff } = this.#exchange
      const ready = gate.mayBlock() && !hasPutOff ? gate.wait(waiting > 0 || pusher?.pushing === true) : gate.look()
      if ((ready & DEVICE) !== 0 || hasPutOff) this.#drain()
      this.#exchange.tend()
    } catch (error) {
      reject(error)
      return
    }
    if (this.#end !== undefined || this.#stopping) resolve()
    else setImmediate(() => this.#turn(gate, resolve, reject))
  }

  async #runSlowly(gate: EventGate): Promise<void> {
    while (this.#end === undefined && !this.#stopping) {
      if (this.#drain() === 0) await gate.waitAsync()
      else await new Promise((resolve) => setImmediate(resolve))
      this.#exchange.tend()
    }
  }

  /** Answers what waits in the device, large READs one by one when nothing else waits; returns how much that was. */
  #drain(): number {
    let count = 0
    while (count < DRAIN_LIMIT) {
      const length = this.#device.read(this.#buffer)
      if (length > 0) {
        count++
        this.#dispatcher.dispatch(this.#buffer, length)
        if (!this.#ready) this.#afterInit()
      } else if (length === -ERRNO.EAGAIN) {
        if (!this.#exchange.answerPutOff()) return count
      } else if (this.#ends(length)) {
        break
      }
    }
    while (this.#exchange.answerPutOff());
    return count
  }

  /** Decides what a failed read means; true: there is nothing more to read now. */
  #ends(result: number): boolean {
    if (TRANSIENT.has(result)) return false
    if (result === -ERRNO.ENODEV) this.#end = 'unmounted'
    else if (result === -ERRNO.ECONNABORTED) this.#end = 'aborted'
    else throw new MountError(`Reading from /dev/fuse failed: ${errnoName(result)}.`, { code: errnoName(result) })
    return true
  }

  #afterInit(): void {
    const { negotiated, initRefused } = this.#exchange
    if (initRefused !== undefined) {
      throw new MountError(initRefused, { remedy: 'use a newer kernel' })
    }
    if (negotiated === undefined) return
    this.#ready = true
    this.#onReady?.(negotiated)
  }
}

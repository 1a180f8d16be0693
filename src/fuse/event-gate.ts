import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { EINTR, libc, openSocketPair, POLLFD_SIZE, POLLIN, systemError } from './libc.js'

/** Something was reported by the kernel device (a request, or its end). */
export const DEVICE = 1
/** This thread's event loop has work: a message, a finished file operation, a socket, a wake-up. */
export const LOOP = 2

/** Longest sleep while a JavaScript timer runs or a request waits for its data. */
const BUSY_POLL_MS = 50
/** Longest sleep while nothing is outstanding. */
const IDLE_POLL_MS = 1000

/** Looking again is worth it when the last wait was at most so many times as long: a wake-up is part of it. */
const SPIN_WORTH = 2

const EFD_CLOEXEC = 0o2000000
const EFD_NONBLOCK = 0o4000

/** What is written to wake a gate; eight bytes, as an eventfd wants them. */
export const WAKE_MESSAGE: Uint8Array = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)

export interface EventGateOptions {
  /**
   * Microseconds to look again and again before sleeping, while requests come that fast and nothing is being
   * loaded. Saves a wake-up, costs a CPU. Default 0.
   */
  readonly spinUs?: number
  /** Use the slow path although the event loop could be found (for tests). */
  readonly forceFallback?: boolean
}

/**
 * Waits in one system call for the kernel device and for this thread's event loop.
 *
 * An epoll descriptor can itself be polled, and libuv's becomes readable when anything it
 * watches is due. It is found by registering a socket with the loop and looking which epoll
 * set of this process lists that very socket. JavaScript timers are not in an epoll set: while
 * one is running the sleep is cut to 50 ms, so timers of this thread may be late by that much;
 * timers that are unref'ed may be late by a second.
 *
 * Belongs to the thread that opened it. That thread must let its loop turn once (setImmediate)
 * between two waits: `mayBlock` tells whether work was queued meanwhile.
 */
export class EventGate {
  readonly #socket: Socket | undefined
  readonly #wakeFd: number
  readonly #spinMs: number
  readonly #pollfds = Buffer.allocUnsafeSlow(2 * POLLFD_SIZE).fill(0)
  /** False: the event loop could not be found, use `waitAsync`. */
  readonly canBlock: boolean
  readonly #drained = Buffer.allocUnsafeSlow(WAKE_MESSAGE.length)
  #events = -1
  #lastWaitMs = 0
  #timers = false
  #closed = false

  /** `loopFd`: an epoll set, or (slow path) the descriptor that is written to wake. */
  private constructor(device: number, loopFd: number, wakeFd: number, socket: Socket | undefined, spinUs: number) {
    this.canBlock = socket !== undefined
    this.#socket = socket
    this.#wakeFd = wakeFd
    this.#spinMs = spinUs / 1000
    this.#pollfds.writeInt32LE(device, 0)
    this.#pollfds.writeInt16LE(POLLIN, 4)
    this.#pollfds.writeInt32LE(loopFd, POLLFD_SIZE)
    this.#pollfds.writeInt16LE(POLLIN, POLLFD_SIZE + 4)
  }

  /** `device` must not block (O_NONBLOCK). */
  static async open(device: number, options: EventGateOptions = {}): Promise<EventGate> {
    const spinUs = options.spinUs ?? 0
    const [watched, wakeFd] = openSocketPair()
    const socket = new Socket({ fd: watched, readable: true, writable: false })
    // Reading is what puts the socket into the epoll set, and what empties it after a wake-up.
    socket.on('data', () => {})
    socket.on('error', () => {})
    // Watchers enter the epoll set when the loop next polls.
    await nextTurn()
    await nextTurn()
    const epollFd = options.forceFallback === true ? -1 : findEpollFd(watched)
    if (epollFd >= 0) return new EventGate(device, epollFd, wakeFd, socket, spinUs)
    socket.destroy()
    libc().close(wakeFd)
    const eventFd = libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
    if (eventFd < 0) throw systemError('eventfd', eventFd, 'a wake-up descriptor')
    return new EventGate(device, eventFd, eventFd, undefined, spinUs)
  }

  /**
   * True when nothing ran in the last turn of the loop that could have left more behind it
   * (immediates, watchers the epoll set does not hold yet). Call once a turn, then block.
   */
  mayBlock(): boolean {
    const events = countLoopEvents()
    const quiet = events === this.#events
    this.#events = events
    if (!quiet) return false
    const resources = process.getActiveResourcesInfo()
    this.#timers = resources.includes('Timeout')
    return !resources.includes('Immediate')
  }

  /**
   * Sleeps until something is due, at most `IDLE_POLL_MS` or, with `busy` (other threads of ours work for what
   * was asked, and need the processor), `BUSY_POLL_MS`.
   * Returns DEVICE and LOOP bits; 0 when the time ran out or a signal came.
   */
  wait(busy: boolean): number {
    const { poll } = libc()
    const since = performance.now()
    if (!busy && this.#lastWaitMs < this.#spinMs * SPIN_WORTH) {
      do {
        if (poll(this.#pollfds, 2, 0) > 0) {
          this.#lastWaitMs = performance.now() - since
          return this.#ready()
        }
      } while (performance.now() - since < this.#spinMs)
    }
    const timeout = busy || this.#timers ? BUSY_POLL_MS : IDLE_POLL_MS
    const found = poll(this.#pollfds, 2, timeout) > 0
    this.#lastWaitMs = performance.now() - since
    return found ? this.#ready() : 0
  }

  /** What is due now, without sleeping. */
  look(): number {
    return libc().poll(this.#pollfds, 2, 0) > 0 ? this.#ready() : 0
  }

  /** The slow path: sleeps on a thread of the FFI's pool while this one's loop runs. Ends at `wake`. */
  async waitAsync(): Promise<void> {
    if (this.#closed) return
    const result = await libc().pollAsync(this.#pollfds, 2, IDLE_POLL_MS)
    if (result < 0 && result !== -EINTR) throw systemError('poll', result, 'the FUSE device')
    if ((this.#ready() & LOOP) !== 0) libc().read(this.#wakeFd, this.#drained, this.#drained.length)
  }

  /** Ends a wait at once. From another thread: write WAKE_MESSAGE to `wakeFd`. */
  wake(): void {
    if (!this.#closed) libc().write(this.#wakeFd, WAKE_MESSAGE, WAKE_MESSAGE.length)
  }

  /** Shared by all threads of the process; open until `close`. */
  get wakeFd(): number {
    return this.#wakeFd
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#socket?.destroy()
    libc().close(this.#wakeFd)
  }

  #ready(): number {
    const device = this.#pollfds.readInt16LE(6) !== 0 ? DEVICE : 0
    return this.#pollfds.readInt16LE(POLLFD_SIZE + 6) !== 0 ? device | LOOP : device
  }
}

/** Events this thread's loop has handled; 0 where Node cannot tell (22.0 to 22.7). */
function countLoopEvents(): number {
  const timing: { readonly uvMetricsInfo?: { readonly events: number } } = performance.nodeTiming
  return timing.uvMetricsInfo?.events ?? 0
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** The epoll set of this process that watches `socketFd`, or -1 when not exactly one does. */
function findEpollFd(socketFd: number): number {
  let inode: string | undefined
  let all: string[]
  try {
    inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${socketFd}`))?.[1]
    all = readdirSync('/proc/self/fd')
  } catch {
    return -1
  }
  if (inode === undefined) return -1
  const target = new RegExp(`^tfd:\\s+${socketFd}\\s.*`, 'm')
  const hex = BigInt(inode).toString(16)
  const found: number[] = []
  for (const fd of all) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) !== 'anon_inode:[eventpoll]') continue
      const line = target.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[0]
      // The inode number tells a stale entry of a recycled descriptor from ours.
      if (line !== undefined && (!line.includes('ino:') || line.includes(`ino:${hex} `))) found.push(Number(fd))
    } catch {
      // Closed by another thread meanwhile.
    }
  }
  return found.length === 1 ? found[0]! : -1
}

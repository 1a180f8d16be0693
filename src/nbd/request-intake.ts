import type { ByteBudget } from './byte-budget.js'
import type { ByteQueue } from './byte-queue.js'
import { BLOCK_SIZE, type NbdLimits } from './limits.js'
import type { Chosen } from './negotiation.js'
import { PendingRequests } from './pending-requests.js'
import { NBD_ESHUTDOWN } from './protocol/reply.js'
import { decodeRequest, NBD_CMD_DISC, NBD_CMD_WRITE, REQUEST_SIZE, type NbdRequest } from './protocol/request.js'
import { Transmission, type TransmissionParts } from './transmission.js'

export interface RequestIntakeParts extends Pick<TransmissionParts, 'send' | 'onProblem'> {
  /** What the client has sent. */
  readonly queue: ByteQueue
  readonly limits: NbdLimits
  /** Of all connections. */
  readonly budget: ByteBudget
  /** The server is on its way out. */
  readonly isClosing: () => boolean
  /** Ends the connection, which broke the rules. */
  readonly drop: (reason: string) => false
  /** The client wants nothing more. */
  readonly disconnected: () => void
  /** There is room: a request that was held has begun. */
  readonly begun: () => void
  /** A request is answered. Not called behind `leave`. */
  readonly finished: () => void
}

/** Takes the requests of a client that has chosen an export, each when there is room for its answer. */
export class RequestIntake {
  readonly #parts: RequestIntakeParts
  readonly #transmission: Transmission
  readonly #pending = new PendingRequests()
  /** A request for whose answer there is no room; `inLine`: among those of all connections. */
  #held: { readonly request: NbdRequest; readonly cost: number; inLine: boolean } | undefined
  /** A write whose bytes are not all there. One that costs nothing is refused, behind `left` bytes that are passed over. */
  #write: { readonly request: NbdRequest; readonly cost: number; left: number } | undefined
  #isGone = false

  constructor(chosen: Chosen, parts: RequestIntakeParts) {
    this.#parts = parts
    const { send, onProblem } = parts
    this.#transmission = new Transmission(chosen, { send, onProblem, finished: (request) => this.#finished(request) })
  }

  get exportName(): string {
    return this.#transmission.chosen.name
  }

  /** May the next request be looked at? */
  get mayGoOn(): boolean {
    return this.#held === undefined && this.#pending.size < this.#parts.limits.requests
  }

  /** Requests that are being answered. */
  get underWay(): number {
    return this.#pending.size
  }

  /** Nothing is being answered or waits for room. */
  get isIdle(): boolean {
    return this.#pending.size === 0 && this.#held === undefined
  }

  /** A write has begun whose bytes are not all there. */
  get isInMessage(): boolean {
    return this.#write !== undefined
  }

  /** The same, and their room is taken. */
  get isRoomTaken(): boolean {
    return this.#write !== undefined && this.#write.cost > 0
  }

  /** As `PendingRequests.takeSlow`. */
  takeSlow(now: number): ReturnType<PendingRequests['takeSlow']> {
    return this.#pending.takeSlow(now, this.#parts.limits.slowMs)
  }

  /** False: more bytes are needed. */
  step(): boolean {
    return this.#write === undefined ? this.#takeRequest() : this.#takePayload(this.#write)
  }

  /** The bytes of a write that has begun will not come. */
  forgetWrite(): void {
    if (this.#write !== undefined) this.#parts.budget.give(this.#write.cost)
    this.#write = undefined
  }

  /** The client is gone; what is being answered still ends. */
  leave(): void {
    this.#isGone = true
    if (this.#held?.inLine === true) this.#parts.budget.leave(this.#hasRoom)
    this.#held = undefined
    this.forgetWrite()
  }

  #takeRequest(): boolean {
    const { queue, drop } = this.#parts
    const bytes = queue.take(REQUEST_SIZE)
    if (bytes === undefined) return false
    const request = decodeRequest(bytes)
    if (request === undefined) return drop('it sent something that is no request')
    if (request.type === NBD_CMD_DISC) {
      this.#parts.disconnected()
      return true
    }
    const isWrite = request.type === NBD_CMD_WRITE && request.length > 0
    if (isWrite && request.length > BLOCK_SIZE.maximum) return drop(`it wants to write ${request.length} bytes at once`)
    const cost = this.#parts.isClosing() ? 0 : this.#transmission.costOf(request)
    if (cost > 0) {
      this.#held = { request, cost, inLine: false }
      this.#tryHeld()
    } else if (isWrite) {
      this.#write = { request, cost, left: request.length }
    } else {
      this.#begin(request, 0)
    }
    return true
  }

  #takePayload(write: { readonly request: NbdRequest; readonly cost: number; left: number }): boolean {
    const { queue } = this.#parts
    let payload: Buffer | undefined
    if (write.cost > 0) {
      payload = queue.take(write.request.length)
      if (payload === undefined) return false
    } else {
      write.left -= queue.skip(write.left)
      if (write.left > 0) return false
    }
    this.#write = undefined
    this.#begin(write.request, write.cost, payload)
    return true
  }

  /** Begins the request that is held when there is room for it. */
  #tryHeld(): void {
    const held = this.#held
    if (held === undefined || held.inLine) return
    if (this.#pending.bytes > 0 && this.#pending.bytes + held.cost > this.#parts.limits.connectionBytes) return
    if (this.#parts.budget.take(held.cost, this.#hasRoom)) this.#beginHeld()
    else held.inLine = true
  }

  readonly #hasRoom = (): void => {
    this.#beginHeld()
    this.#parts.begun()
  }

  #beginHeld(): void {
    const { request, cost } = this.#held!
    this.#held = undefined
    if (request.type === NBD_CMD_WRITE) this.#write = { request, cost, left: request.length }
    else this.#begin(request, cost)
  }

  #begin(request: NbdRequest, cost: number, payload?: Uint8Array): void {
    this.#pending.add(request, cost)
    if (this.#parts.isClosing()) this.#transmission.refuse(request, NBD_ESHUTDOWN, 'the server is ending')
    else this.#transmission.begin(request, payload)
  }

  #finished(request: NbdRequest): void {
    const cost = this.#pending.remove(request)
    if (cost > 0) this.#parts.budget.give(cost)
    if (this.#isGone) return
    this.#tryHeld()
    this.#parts.finished()
  }
}

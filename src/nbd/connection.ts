import type { Socket } from 'node:net'
import type { Log } from '../errors/log.js'
import type { ByteBudget } from './byte-budget.js'
import { ByteQueue } from './byte-queue.js'
import type { ExportTable } from './export.js'
import { BLOCK_SIZE, MAX_OPTION_BYTES, MAX_OPTIONS, type NbdLimits } from './limits.js'
import { Negotiation, type Chosen, type Step } from './negotiation.js'
import { Outgoing } from './outgoing.js'
import { PendingRequests } from './pending-requests.js'
import { CLIENT_FLAGS_SIZE, decodeClientFlags, decodeOptionHeader, encodeGreeting, OPTION_HEADER_SIZE } from './protocol/handshake.js'
import { NBD_ESHUTDOWN } from './protocol/reply.js'
import { commandName, decodeRequest, NBD_CMD_DISC, NBD_CMD_WRITE, REQUEST_SIZE, type NbdRequest } from './protocol/request.js'
import { describeTlsError } from './tls-error.js'
import { Transmission } from './transmission.js'

export interface ConnectionParts {
  readonly exports: ExportTable
  readonly limits: NbdLimits
  readonly budget: ByteBudget
  readonly log: Log
  /** For messages. */
  readonly number: number
  /** Makes an encrypted socket of a plain one; absent: there is no TLS here. Rejects when that fails. */
  readonly startTls?: ((socket: Socket) => Promise<Socket>) | undefined
  /** Bytes of an export that cannot be read, or an export that cannot be opened. */
  readonly onProblem: (error: unknown, exportName: string, offset?: number) => void
  readonly onClosed: () => void
}

/** What is expected next; `tls`: TLS begins, `nothing`: the client is not listened to any more. */
type Phase = 'flags' | 'option' | 'tls' | 'request' | 'nothing'

/** One client, from its first byte to its last. Whatever it sends, only its own connection suffers. */
export class NbdConnection {
  readonly #parts: ConnectionParts
  readonly #queue = new ByteQueue()
  readonly #pending = new PendingRequests()
  readonly #negotiationTimer: NodeJS.Timeout
  #closingTimer: NodeJS.Timeout | undefined
  #socket: Socket
  #out: Outgoing
  #phase: Phase = 'flags'
  #flags = { fixed: false, noZeroes: false }
  #negotiation: Negotiation | undefined
  #transmission: Transmission | undefined
  #options = 0
  /** Of an option whose data is not there yet. */
  #option: { readonly option: number; readonly length: number } | undefined
  /** Bytes that are not looked at, and what to do behind them. */
  #skip: { left: number; readonly then: () => void } | undefined
  /** An option is being answered; the next one has to wait. */
  #isNegotiating = false
  /** A request for whose answer there is no room; `inLine`: among those of all connections. */
  #held: { readonly request: NbdRequest; readonly cost: number; inLine: boolean } | undefined
  /** A write for which there is room, and whose bytes are not all there. */
  #write: { readonly request: NbdRequest; readonly cost: number } | undefined
  #lastInput = performance.now()
  #isInputEnded = false
  #isClosing = false
  #isGone = false

  constructor(socket: Socket, parts: ConnectionParts) {
    this.#socket = socket
    this.#out = new Outgoing(socket)
    this.#parts = parts
    this.#negotiationTimer = setTimeout(() => this.#drop('it took too long to choose an export'), parts.limits.negotiationMs)
    this.#listen(socket)
    this.#out.send([encodeGreeting()])
  }

  /** Answers what was asked, and ends. */
  close(): void {
    this.#isClosing = true
    if (this.#phase === 'tls') this.destroy()
    else if (!this.#isNegotiating && this.#pending.size === 0) this.#endWhenDone()
  }

  /** Ends at once. */
  destroy(): void {
    this.#socket.destroy()
  }

  /**
   * Since when the client neither takes an answer nor sends more of what it began, in ms of `performance.now()`;
   * undefined: nothing of it takes room.
   */
  get stalledSince(): number | undefined {
    return this.#out.stalledSince ?? (this.#write === undefined ? undefined : this.#lastInput)
  }

  /** Ends a connection that keeps others waiting. */
  dropStalled(): void {
    this.#drop('it does not go on, and others wait for the room it takes')
  }

  /** Says which requests wait long for the storage, each once. */
  reportSlow(now: number): void {
    if (this.#out.stalledSince !== undefined) return
    for (const { request, seconds } of this.#pending.takeSlow(now, this.#parts.limits.slowMs)) {
      this.#parts.log.warn('a request waits long for its data', { ...this.#fields(), op: commandName(request.type), offset: request.offset, seconds })
    }
  }

  #listen(socket: Socket): void {
    socket.on('data', (bytes: Buffer) => {
      this.#queue.push(bytes)
      this.#lastInput = performance.now()
      this.#advance()
    })
    socket.on('end', () => {
      this.#isInputEnded = true
      this.#advance()
    })
    socket.on('error', (error) => this.#parts.log.debug('a connection broke', { ...this.#fields(), error: error.message }))
    socket.on('close', () => this.#closed())
  }

  /** May the next message be looked at? */
  get #mayGoOn(): boolean {
    return !this.#isGone && !this.#isNegotiating && this.#held === undefined && this.#pending.size < this.#parts.limits.requests
  }

  /** Takes the input apart as far as it goes. */
  #advance(): void {
    try {
      while (this.#mayGoOn && this.#step());
    } catch (error) {
      this.#failed(error)
    }
    if (this.#isGone) return
    if (!this.#mayGoOn) this.#socket.pause()
    else if (this.#isInputEnded) this.#hungUp()
    else if (this.#socket.isPaused()) this.#socket.resume()
  }

  /** False: more bytes are needed. */
  #step(): boolean {
    if (this.#skip !== undefined) return this.#skipBytes(this.#skip)
    if (this.#write !== undefined) return this.#takePayload(this.#write)
    switch (this.#phase) {
      case 'flags':
        return this.#takeFlags()
      case 'option':
        return this.#takeOption()
      case 'request':
        return this.#takeRequest()
      case 'tls':
        return false
      case 'nothing':
        this.#queue.skip(this.#queue.length)
        return false
    }
  }

  #skipBytes(skip: { left: number; readonly then: () => void }): boolean {
    skip.left -= this.#queue.skip(skip.left)
    if (skip.left > 0) return false
    this.#skip = undefined
    skip.then()
    return true
  }

  #takeFlags(): boolean {
    const bytes = this.#queue.take(CLIENT_FLAGS_SIZE)
    if (bytes === undefined) return false
    const flags = decodeClientFlags(bytes)
    if (flags === undefined) return this.#drop('it sent flags that were not offered')
    this.#flags = flags
    this.#negotiate(this.#parts.startTls === undefined ? 'off' : 'wanted')
    return true
  }

  #negotiate(tls: 'off' | 'wanted' | 'on'): void {
    this.#phase = 'option'
    this.#negotiation = new Negotiation({
      ...this.#flags,
      exports: this.#parts.exports,
      send: (bytes) => this.#out.send([bytes]),
      tls,
      isClosing: () => this.#isClosing,
      onProblem: (error, name) => this.#parts.onProblem(error, name),
    })
  }

  #takeOption(): boolean {
    if (this.#option === undefined) {
      const bytes = this.#queue.take(OPTION_HEADER_SIZE)
      if (bytes === undefined) return false
      this.#option = decodeOptionHeader(bytes)
      if (this.#option === undefined) return this.#drop('it sent something that is no option')
      if (this.#option.length > BLOCK_SIZE.maximum) return this.#drop(`it sent an option of ${this.#option.length} bytes`)
      if (++this.#options > MAX_OPTIONS) return this.#drop(`it sent more than ${MAX_OPTIONS} options`)
    }
    const { option, length } = this.#option
    if (length > MAX_OPTION_BYTES) {
      this.#option = undefined
      this.#skip = { left: length, then: () => this.#negotiation!.refuseTooBig(option) }
      return true
    }
    const data = this.#queue.take(length)
    if (data === undefined) return false
    this.#option = undefined
    this.#isNegotiating = true
    this.#negotiation!.handle(option, data).then(
      (step) => this.#afterOption(step),
      (error: unknown) => this.#failed(error),
    )
    return true
  }

  #afterOption(step: Step): void {
    if (this.#isGone) return
    const { next } = step
    if (next === 'tls') this.#out.whenEmpty(() => this.#startTls())
    // Whoever asks for lists and does not take them gets no more of them.
    else if (next === 'option') this.#out.whenEmpty(() => this.#negotiated())
    else if (next === 'transmission') this.#transmit(step.chosen)
    else if (step.reason !== undefined) this.#drop(step.reason)
    else this.#endNegotiation()
  }

  #endNegotiation(): void {
    this.#isNegotiating = false
    this.#endWhenDone()
  }

  #transmit(chosen: Chosen): void {
    clearTimeout(this.#negotiationTimer)
    this.#phase = 'request'
    this.#transmission = new Transmission(chosen, {
      send: (pieces, sent) => this.#out.send(pieces, sent),
      finished: (request) => this.#finished(request),
      onProblem: (error, request) => this.#parts.onProblem(error, chosen.name, request.offset),
    })
    this.#parts.log.debug('a client has opened an export', this.#fields())
    this.#negotiated()
  }

  #negotiated(): void {
    this.#isNegotiating = false
    if (this.#isClosing) this.#endWhenDone()
    this.#advance()
  }

  #startTls(): void {
    // What was sent in the clear must not be taken for something that came encrypted.
    if (this.#queue.length > 0) return void this.#drop('it sent more behind its wish for TLS')
    const plain = this.#socket
    this.#phase = 'tls'
    plain.removeAllListeners('data')
    plain.removeAllListeners('end')
    this.#parts.startTls!(plain).then(
      (encrypted) => {
        if (this.#isGone) return void encrypted.destroy()
        this.#socket = encrypted
        this.#out = new Outgoing(encrypted)
        this.#listen(encrypted)
        this.#negotiate('on')
        this.#negotiated()
      },
      (error: unknown) => void this.#drop(`TLS could not be agreed on: ${describeTlsError(error)}`),
    )
  }

  #takeRequest(): boolean {
    const bytes = this.#queue.take(REQUEST_SIZE)
    if (bytes === undefined) return false
    const request = decodeRequest(bytes)
    if (request === undefined) return this.#drop('it sent something that is no request')
    if (request.type === NBD_CMD_DISC) {
      this.#endWhenDone()
      return true
    }
    const isWrite = request.type === NBD_CMD_WRITE && request.length > 0
    if (isWrite && request.length > BLOCK_SIZE.maximum) return this.#drop(`it wants to write ${request.length} bytes at once`)
    const cost = this.#isClosing ? 0 : this.#transmission!.costOf(request)
    if (cost > 0) {
      this.#held = { request, cost, inLine: false }
      this.#tryHeld()
    } else if (isWrite) {
      this.#skip = { left: request.length, then: () => this.#begin(request, 0) }
    } else {
      this.#begin(request, 0)
    }
    return true
  }

  #takePayload({ request, cost }: { readonly request: NbdRequest; readonly cost: number }): boolean {
    const payload = this.#queue.take(request.length)
    if (payload === undefined) return false
    this.#write = undefined
    this.#begin(request, cost, payload)
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
    this.#advance()
  }

  #beginHeld(): void {
    const { request, cost } = this.#held!
    this.#held = undefined
    if (request.type === NBD_CMD_WRITE) this.#write = { request, cost }
    else this.#begin(request, cost)
  }

  #begin(request: NbdRequest, cost: number, payload?: Uint8Array): void {
    this.#pending.add(request, cost)
    if (this.#isClosing) this.#transmission!.refuse(request, NBD_ESHUTDOWN, 'the server is ending')
    else this.#transmission!.begin(request, payload)
  }

  #finished(request: NbdRequest): void {
    const cost = this.#pending.remove(request)
    if (cost > 0) this.#parts.budget.give(cost)
    if (this.#isGone) return
    this.#tryHeld()
    this.#advance()
    if (this.#isClosing || this.#phase === 'nothing') this.#endWhenDone()
  }

  /** The client sends nothing more, and all it sent was looked at. What it asked for it may still want. */
  #hungUp(): void {
    if (this.#phase !== 'nothing' && (this.#queue.length > 0 || this.#skip !== undefined || this.#option !== undefined || this.#write !== undefined)) {
      this.#parts.log.debug('a client hung up in the middle of a message', this.#fields())
    }
    this.#endWhenDone()
  }

  /** Listens no more, and ends when everything is answered and sent. */
  #endWhenDone(): void {
    this.#phase = 'nothing'
    this.#skip = undefined
    this.#forgetWrite()
    if (this.#isGone || this.#pending.size > 0 || this.#held !== undefined || this.#closingTimer !== undefined) return
    this.#closingTimer = setTimeout(() => this.destroy(), this.#parts.limits.closingMs)
    this.#out.whenEmpty(() => this.#socket.end())
  }

  /** A write whose bytes will not come. */
  #forgetWrite(): void {
    if (this.#write !== undefined) this.#parts.budget.give(this.#write.cost)
    this.#write = undefined
  }

  /** Ends a connection that broke the rules. */
  #drop(reason: string): false {
    if (!this.#isGone) this.#parts.log.warn(`a client was dropped: ${reason}`, this.#fields())
    this.destroy()
    return false
  }

  #failed(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#parts.log.error('bug: a client could not be answered', { ...this.#fields(), error: text })
    this.destroy()
  }

  #closed(): void {
    if (this.#isGone) return
    this.#isGone = true
    clearTimeout(this.#negotiationTimer)
    clearTimeout(this.#closingTimer)
    if (this.#held?.inLine === true) this.#parts.budget.leave(this.#hasRoom)
    this.#held = undefined
    this.#forgetWrite()
    this.#parts.log.debug('a client has left', this.#fields())
    this.#parts.onClosed()
  }

  #fields(): { client: number; export?: string } {
    const name = this.#transmission?.chosen.name
    return { client: this.#parts.number, ...(name === undefined ? {} : { export: name }) }
  }
}

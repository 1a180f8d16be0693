import type { Socket } from 'node:net'
import type { Log } from '../errors/log.js'
import type { ByteBudget } from './byte-budget.js'
import { ByteQueue } from './byte-queue.js'
import type { ExportTable } from './export.js'
import type { NbdLimits } from './limits.js'
import type { Chosen, Step } from './negotiation.js'
import { OptionIntake } from './option-intake.js'
import { Outgoing } from './outgoing.js'
import { encodeGreeting } from './protocol/handshake.js'
import { commandName } from './protocol/request.js'
import { RequestIntake } from './request-intake.js'
import { describeTlsError } from './tls-error.js'

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

/** One client, from its first byte to its last. Whatever it sends, only its own connection suffers. */
export class NbdConnection {
  readonly #parts: ConnectionParts
  readonly #queue = new ByteQueue()
  readonly #negotiationTimer: NodeJS.Timeout
  readonly #options: OptionIntake
  /** Once an export is chosen. */
  #requests: RequestIntake | undefined
  #closingTimer: NodeJS.Timeout | undefined
  #socket: Socket
  #out: Outgoing
  /** TLS is being agreed on. */
  #isSecuring = false
  #lastInput = performance.now()
  #isInputEnded = false
  /** The client is not listened to any more. */
  #isDeaf = false
  #isClosing = false
  #isGone = false

  constructor(socket: Socket, parts: ConnectionParts) {
    this.#socket = socket
    this.#out = new Outgoing(socket)
    this.#parts = parts
    this.#options = new OptionIntake({
      queue: this.#queue,
      exports: parts.exports,
      hasTls: parts.startTls !== undefined,
      send: (bytes) => this.#out.send([bytes]),
      isClosing: () => this.#isClosing,
      drop: (reason) => this.#drop(reason),
      answered: (step) => this.#afterOption(step),
      failed: (error) => this.#failed(error),
      onProblem: (error, name) => parts.onProblem(error, name),
    })
    this.#negotiationTimer = setTimeout(() => this.#drop('it took too long to choose an export'), parts.limits.negotiationMs)
    this.#listen(socket)
    this.#out.send([encodeGreeting()])
  }

  /** Answers what was asked, and ends. */
  close(): void {
    this.#isClosing = true
    if (this.#isSecuring) this.destroy()
    else if (!this.#options.isAnswering && (this.#requests?.underWay ?? 0) === 0) this.#endWhenDone()
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
    return this.#out.stalledSince ?? (this.#requests?.isRoomTaken === true ? this.#lastInput : undefined)
  }

  /** Ends a connection that keeps others waiting. */
  dropStalled(): void {
    this.#drop('it does not go on, and others wait for the room it takes')
  }

  /** Says which requests wait long for the storage, each once. */
  reportSlow(now: number): void {
    if (this.#out.stalledSince !== undefined) return
    for (const { request, seconds } of this.#requests?.takeSlow(now) ?? []) {
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

  get #intake(): OptionIntake | RequestIntake {
    return this.#requests ?? this.#options
  }

  /** May the next message be looked at? */
  get #mayGoOn(): boolean {
    return !this.#isGone && !this.#options.isAnswering && (this.#requests?.mayGoOn ?? true)
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
    // A write that there is room for now began before the end.
    if (!this.#isDeaf || this.#requests?.isInMessage === true) return this.#intake.step()
    this.#queue.skip(this.#queue.length)
    return false
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
    this.#options.goOn()
    this.#endWhenDone()
  }

  #transmit(chosen: Chosen): void {
    clearTimeout(this.#negotiationTimer)
    const { limits, budget } = this.#parts
    this.#requests = new RequestIntake(chosen, {
      queue: this.#queue,
      limits,
      budget,
      send: (pieces, sent) => this.#out.send(pieces, sent),
      isClosing: () => this.#isClosing,
      drop: (reason) => this.#drop(reason),
      disconnected: () => this.#endWhenDone(),
      begun: () => this.#advance(),
      finished: () => this.#answered(),
      onProblem: (error, request) => this.#parts.onProblem(error, chosen.name, request.offset),
    })
    this.#parts.log.debug('a client has opened an export', this.#fields())
    this.#negotiated()
  }

  #negotiated(): void {
    this.#options.goOn()
    if (this.#isClosing) this.#endWhenDone()
    this.#advance()
  }

  #startTls(): void {
    // What was sent in the clear must not be taken for something that came encrypted.
    if (this.#queue.length > 0) return void this.#drop('it sent more behind its wish for TLS')
    const plain = this.#socket
    this.#isSecuring = true
    plain.removeAllListeners('data')
    plain.removeAllListeners('end')
    this.#parts.startTls!(plain).then(
      (encrypted) => {
        if (this.#isGone) return void encrypted.destroy()
        this.#socket = encrypted
        this.#out = new Outgoing(encrypted)
        this.#listen(encrypted)
        this.#isSecuring = false
        this.#options.beginEncrypted()
        this.#negotiated()
      },
      (error: unknown) => void this.#drop(`TLS could not be agreed on: ${describeTlsError(error)}`),
    )
  }

  /** A request is answered. */
  #answered(): void {
    this.#advance()
    if (this.#isClosing || this.#isDeaf) this.#endWhenDone()
  }

  /** The client sends nothing more, and all it sent was looked at. What it asked for it may still want. */
  #hungUp(): void {
    if (!this.#isDeaf && (this.#queue.length > 0 || this.#intake.isInMessage)) {
      this.#parts.log.debug('a client hung up in the middle of a message', this.#fields())
    }
    this.#endWhenDone()
  }

  /** Listens no more, and ends when everything is answered and sent. */
  #endWhenDone(): void {
    this.#isDeaf = true
    this.#requests?.forgetWrite()
    if (this.#isGone || this.#requests?.isIdle === false || this.#closingTimer !== undefined) return
    this.#closingTimer = setTimeout(() => this.destroy(), this.#parts.limits.closingMs)
    this.#out.whenEmpty(() => this.#socket.end())
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
    this.#requests?.leave()
    this.#parts.log.debug('a client has left', this.#fields())
    this.#parts.onClosed()
  }

  #fields(): { client: number; export?: string } {
    const name = this.#requests?.exportName
    return { client: this.#parts.number, ...(name === undefined ? {} : { export: name }) }
  }
}

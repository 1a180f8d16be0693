import type { Socket } from 'node:net'

/** Bytes given to the system at once: few calls, and it still shows soon that a slow client takes something. */
const BATCH = 1024 * 1024

interface Message {
  readonly pieces: readonly Uint8Array[]
  readonly sent: (() => void) | undefined
}

/** The sending side of a connection: what is sent in one turn of the event loop goes out together. */
export class Outgoing {
  readonly #socket: Socket
  readonly #queue: Message[] = []
  #isScheduled = false
  /** The messages that the system is taking. */
  #underWay: Message[] = []
  #lastProgress = 0
  #whenEmpty: (() => void) | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    socket.once('close', () => this.#settle(this.#queue.splice(0)))
  }

  /**
   * Sends the pieces, nothing in between. `sent` is called later, once: nobody looks at them any more, whether
   * they were taken or the client is gone.
   */
  send(pieces: readonly Uint8Array[], sent?: () => void): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) {
      if (sent !== undefined) queueMicrotask(sent)
      return
    }
    this.#queue.push({ pieces, sent })
    if (this.#isScheduled || this.#underWay.length > 0) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#pump()
    })
  }

  /** Calls `go` when everything that was sent is taken; not when the client goes before. */
  whenEmpty(go: () => void): void {
    if (this.#queue.length === 0 && this.#underWay.length === 0) go()
    else this.#whenEmpty = go
  }

  /** Since when, in ms of `performance.now()`, the client takes nothing; undefined: nothing is there to take. */
  get stalledSince(): number | undefined {
    return this.#underWay.length > 0 ? this.#lastProgress : undefined
  }

  #pump(): void {
    if (this.#underWay.length > 0 || this.#queue.length === 0 || this.#socket.destroyed) return
    if (this.#socket.writableEnded) return this.#settle(this.#queue.splice(0))
    let count = 0
    for (let bytes = 0; count < this.#queue.length && bytes < BATCH; count++) {
      for (const piece of this.#queue[count]!.pieces) bytes += piece.length
    }
    const batch = this.#queue.splice(0, count)
    this.#underWay = batch
    this.#lastProgress = performance.now()
    const pieces = batch.flatMap((message) => message.pieces)
    const last = pieces.length - 1
    this.#socket.cork()
    pieces.forEach((piece, i) => {
      if (i < last) this.#socket.write(piece)
      else this.#socket.write(piece, () => this.#taken(batch))
    })
    this.#socket.uncork()
  }

  #taken(batch: readonly Message[]): void {
    this.#underWay = []
    this.#settle(batch)
    this.#pump()
    if (this.#underWay.length > 0 || this.#queue.length > 0) return
    const go = this.#whenEmpty
    this.#whenEmpty = undefined
    go?.()
  }

  #settle(messages: readonly Message[]): void {
    for (const { sent } of messages) sent?.()
  }
}

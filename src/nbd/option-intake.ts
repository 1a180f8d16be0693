import type { ByteQueue } from './byte-queue.js'
import { BLOCK_SIZE, MAX_OPTION_BYTES, MAX_OPTIONS } from './limits.js'
import { Negotiation, type NegotiationParts, type Step } from './negotiation.js'
import { CLIENT_FLAGS_SIZE, decodeClientFlags, decodeOptionHeader, OPTION_HEADER_SIZE } from './protocol/handshake.js'

export interface OptionIntakeParts extends Pick<NegotiationParts, 'exports' | 'send' | 'isClosing' | 'onProblem'> {
  /** What the client has sent. */
  readonly queue: ByteQueue
  readonly hasTls: boolean
  /** Ends the connection, which broke the rules. */
  readonly drop: (reason: string) => false
  /** An option is answered. The next one is taken after `goOn`, the first one in TLS after `beginEncrypted`. */
  readonly answered: (step: Step) => void
  /** A bug. */
  readonly failed: (error: unknown) => void
}

/** Takes what a client sends until it has chosen an export: its flags and its options, one at a time. */
export class OptionIntake {
  readonly #parts: OptionIntakeParts
  #flags = { fixed: false, noZeroes: false }
  /** Absent: the flags are still to come. */
  #negotiation: Negotiation | undefined
  #count = 0
  /** An option whose data is not all there; `left`: bytes of data that are passed over. */
  #option: { readonly option: number; readonly length: number; left: number } | undefined
  #isAnswering = false

  constructor(parts: OptionIntakeParts) {
    this.#parts = parts
  }

  /** An option is being answered; the next one has to wait. */
  get isAnswering(): boolean {
    return this.#isAnswering
  }

  /** The header of an option is taken, and its data is not. */
  get isInMessage(): boolean {
    return this.#option !== undefined
  }

  /** False: more bytes are needed. Not called while an option is being answered. */
  step(): boolean {
    return this.#negotiation === undefined ? this.#takeFlags() : this.#takeOption(this.#negotiation)
  }

  goOn(): void {
    this.#isAnswering = false
  }

  /** What was agreed on before counts no more, but for the flags. */
  beginEncrypted(): void {
    this.#negotiate('on')
    this.goOn()
  }

  #takeFlags(): boolean {
    const bytes = this.#parts.queue.take(CLIENT_FLAGS_SIZE)
    if (bytes === undefined) return false
    const flags = decodeClientFlags(bytes)
    if (flags === undefined) return this.#parts.drop('it sent flags that were not offered')
    this.#flags = flags
    this.#negotiate(this.#parts.hasTls ? 'wanted' : 'off')
    return true
  }

  #negotiate(tls: NegotiationParts['tls']): void {
    const { exports, send, isClosing, onProblem } = this.#parts
    this.#negotiation = new Negotiation({ ...this.#flags, exports, send, tls, isClosing, onProblem })
  }

  #takeOption(negotiation: Negotiation): boolean {
    const { queue, drop } = this.#parts
    if (this.#option === undefined) {
      const bytes = queue.take(OPTION_HEADER_SIZE)
      if (bytes === undefined) return false
      const header = decodeOptionHeader(bytes)
      if (header === undefined) return drop('it sent something that is no option')
      if (header.length > BLOCK_SIZE.maximum) return drop(`it sent an option of ${header.length} bytes`)
      if (++this.#count > MAX_OPTIONS) return drop(`it sent more than ${MAX_OPTIONS} options`)
      this.#option = { ...header, left: header.length }
    }
    const { option, length } = this.#option
    if (length > MAX_OPTION_BYTES) {
      this.#option.left -= queue.skip(this.#option.left)
      if (this.#option.left > 0) return false
      this.#option = undefined
      negotiation.refuseTooBig(option)
      return true
    }
    const data = queue.take(length)
    if (data === undefined) return false
    this.#option = undefined
    this.#isAnswering = true
    negotiation.handle(option, data).then(this.#parts.answered, this.#parts.failed)
    return true
  }
}

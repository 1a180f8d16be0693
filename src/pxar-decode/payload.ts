import { peekSize, viewOf } from '../bytes/le.js'
import type { ReadAt } from '../bytes/read-at.js'
import { FormatError, TruncatedError } from '../errors/errors.js'
import { isDamage } from '../errors/is-damage.js'
import { cutOff, damage } from './damage.js'
import {
  HEADER_SIZE, ITEM_PAYLOAD, ITEM_PAYLOAD_REF, ITEM_PAYLOAD_START_MARKER, MIN_PAYLOAD_OFFSET, itemOf,
} from './format.js' // prettier-ignore
import { PayloadLook } from './payload-look.js'

/** Verified headers remembered, twice at most. */
const MAX_VERIFIED = 8192

/**
 * The payload stream of a split archive. It is reached through references only: between the
 * referenced payloads lie leftovers of earlier backups, which no one may see.
 */
export class PayloadStream {
  readonly stream: ReadAt
  /** Header offset to content size, in two generations: a bound without bookkeeping per use. */
  #verified = new Map<number, number>()
  #verifiedBefore = new Map<number, number>()
  #started: Promise<void> | true | undefined

  constructor(stream: ReadAt) {
    this.stream = stream
  }

  /**
   * Checks that the PAYLOAD header at `offset` says `size` bytes, once for a file. Synchronous
   * when the header is in memory. Throws or rejects with FormatError or TruncatedError. A header that
   * cannot be read keeps nobody from a content that can: where it lies is told by the reference alone.
   */
  verify(offset: number, size: number): void | Promise<void> {
    if (this.#verified.get(offset) === size) return undefined
    if (this.#verifiedBefore.get(offset) === size) {
      this.#remember(offset, size)
      return undefined
    }
    const { stream } = this
    if (offset < MIN_PAYLOAD_OFFSET) throw damage(stream.name, offset, ITEM_PAYLOAD_REF, 'refers to the start marker', `at least ${MIN_PAYLOAD_OFFSET}`, offset)
    if (offset + HEADER_SIZE + size > stream.size) throw cutOff(stream.name, offset, ITEM_PAYLOAD, offset + HEADER_SIZE + size, stream.size)
    if (this.#started !== true) return this.#verifyFirst(offset, size)
    const header = stream.peek(offset, HEADER_SIZE)
    if (header === undefined) return this.#verifyLater(offset, size)
    this.#check(header, offset, size)
    return undefined
  }

  /** Looks at headers in memory; undefined: it is not known yet that the stream begins as one. */
  look(): PayloadLook | undefined {
    return this.#started === true ? new PayloadLook(this.stream) : undefined
  }

  /** Was the header at `offset` found to say `size` bytes, lately? */
  isVerified(offset: number, size: number): boolean {
    return this.#verified.get(offset) === size
  }

  /** Reads a header, so that it is verified. Rejects when it is lost: who comes again and again has an end. */
  async load(offset: number, size: number): Promise<void> {
    await this.verify(offset, size)
    if (!this.isVerified(offset, size)) throw damage(this.stream.name, offset, ITEM_PAYLOAD, 'its header is lost')
  }

  async #verifyFirst(offset: number, size: number): Promise<void> {
    this.#started ??= this.#checkStart()
    await this.#started
    this.#started = true
    await this.#verifyLater(offset, size)
  }

  async #verifyLater(offset: number, size: number): Promise<void> {
    const header = this.stream.peek(offset, HEADER_SIZE) ?? (await this.#readHeader(offset))
    if (header !== undefined) this.#check(header, offset, size)
  }

  /** undefined: its bytes are lost. The next try reads it again. */
  async #readHeader(offset: number): Promise<Uint8Array | undefined> {
    try {
      return await this.stream.read(offset, HEADER_SIZE)
    } catch (error) {
      if (isDamage(error)) return undefined
      throw error
    }
  }

  #check(header: Uint8Array, offset: number, size: number): void {
    const view = viewOf(header)
    const { name } = this.stream
    if (itemOf(view.getInt32(0, true), view.getInt32(4, true)) !== ITEM_PAYLOAD) {
      throw damage(name, offset, ITEM_PAYLOAD, 'no payload starts here')
    }
    const actual = peekSize(view, 8) - HEADER_SIZE
    if (actual !== size) throw damage(name, offset, ITEM_PAYLOAD, 'size differs from that of its reference', size, actual)
    this.#remember(offset, size)
  }

  /** The stream must begin with its marker. If that cannot be read, each file still proves itself. */
  async #checkStart(): Promise<void> {
    const { stream } = this
    if (stream.size < 2 * HEADER_SIZE) throw cutOff(stream.name, 0, ITEM_PAYLOAD_START_MARKER, 2 * HEADER_SIZE, stream.size)
    let header: Uint8Array
    try {
      header = stream.peek(0, HEADER_SIZE) ?? (await stream.read(0, HEADER_SIZE))
    } catch (error) {
      if (error instanceof FormatError || error instanceof TruncatedError) throw error
      return
    }
    const view = viewOf(header)
    if (itemOf(view.getInt32(0, true), view.getInt32(4, true)) !== ITEM_PAYLOAD_START_MARKER || peekSize(view, 8) !== HEADER_SIZE) {
      throw damage(stream.name, 0, ITEM_PAYLOAD_START_MARKER, 'this is not a payload stream')
    }
  }

  #remember(offset: number, size: number): void {
    if (this.#verified.size >= MAX_VERIFIED) {
      this.#verifiedBefore = this.#verified
      this.#verified = new Map()
    }
    this.#verified.set(offset, size)
  }
}

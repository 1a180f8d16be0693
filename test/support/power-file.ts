import type { BlockFile } from '#src/overlay/block-file.js'

const SECTOR = 512

/**
 * A file in memory that takes its time, and that can lose what was not synced: of each such write any
 * sectors may be on the disk, and any may not.
 */
export class PowerFile implements BlockFile {
  /** What a program sees. */
  bytes: Buffer
  /** Writes since the last sync, in sectors. */
  #unsynced: { readonly at: number; readonly bytes: Buffer }[] = []
  #durable: Buffer
  readonly #random: () => number
  /** Writes until the next one fails; undefined: none does. */
  failAfter: number | undefined

  constructor(size: number, random: () => number, fill = 0) {
    this.bytes = Buffer.alloc(size, fill)
    this.#durable = Buffer.from(this.bytes)
    this.#random = random
  }

  async read(into: Uint8Array, offset: number): Promise<void> {
    await this.#pause()
    into.fill(0)
    into.set(this.bytes.subarray(offset, offset + into.length))
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    const own = Buffer.from(bytes)
    await this.#pause()
    if (this.failAfter !== undefined && --this.failAfter < 0) throw new Error('the disk fails')
    own.copy(this.bytes, offset)
    for (let at = 0; at < own.length; ) {
      const end = Math.min(own.length, at + SECTOR - ((offset + at) % SECTOR))
      this.#unsynced.push({ at: offset + at, bytes: own.subarray(at, end) })
      at = end
    }
    await this.#pause()
  }

  zero(offset: number, length: number): Promise<void> {
    return this.write(Buffer.alloc(length), offset)
  }

  async sync(): Promise<void> {
    const until = this.#unsynced.length
    await this.#pause()
    for (const { at, bytes } of this.#unsynced.splice(0, until)) bytes.copy(this.#durable, at)
    await this.#pause()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  /** The file as the next program finds it. */
  after(event: 'kill' | 'power'): PowerFile {
    const next = new PowerFile(0, this.#random)
    next.bytes = event === 'kill' ? Buffer.from(this.bytes) : Buffer.from(this.#durable)
    if (event === 'power') for (const { at, bytes } of this.#unsynced) if (this.#random() < 0.5) bytes.copy(next.bytes, at)
    // After a kill the system still brings everything to the disk; a later loss of power may forget it all the same.
    next.#durable = Buffer.from(event === 'kill' ? this.#durable : next.bytes)
    next.#unsynced = event === 'kill' ? [...this.#unsynced] : []
    return next
  }

  async #pause(): Promise<void> {
    for (let turns = Math.floor(this.#random() * 4); turns > 0; turns--) await Promise.resolve()
  }
}

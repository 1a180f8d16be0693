import { connect, type Socket } from 'node:net'

/*
 * The client's side of the NBD protocol, written from its text alone and as simple as can be: what it
 * sends is given byte by byte or put together here, what comes is taken apart strictly.
 */

export const u16 = (value: number): Buffer => {
  const out = Buffer.alloc(2)
  out.writeUInt16BE(value)
  return out
}

export const u32 = (value: number): Buffer => {
  const out = Buffer.alloc(4)
  out.writeUInt32BE(value)
  return out
}

export const u64 = (value: number | bigint): Buffer => {
  const out = Buffer.alloc(8)
  out.writeBigUInt64BE(BigInt(value))
  return out
}

export const string = (text: string): Buffer => Buffer.concat([u32(Buffer.byteLength(text)), Buffer.from(text)])

export interface OptionReply {
  readonly option: number
  readonly type: number
  readonly data: Buffer
}

export interface Chunk {
  /** Undefined: a simple reply. */
  readonly type: number | undefined
  readonly done: boolean
  readonly handle: bigint
  /** Of a simple reply. */
  readonly error: number
  readonly payload: Buffer
}

export interface Negotiated {
  readonly size: number
  readonly flags: number
  readonly structured: boolean
}

export class NbdClient {
  readonly socket: Socket
  readonly #closed: Promise<void>
  #buffer = Buffer.alloc(0)
  #wake: (() => void) | undefined
  #ended = false
  #structured = false

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (bytes: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, bytes])
      this.#wake?.()
    })
    socket.on('error', () => undefined)
    const end = (): void => {
      this.#ended = true
      this.#wake?.()
    }
    socket.on('end', end)
    this.#closed = new Promise((resolve) => socket.on('close', () => (end(), resolve())))
  }

  static open(address: string | { readonly host: string; readonly port: number }): Promise<NbdClient> {
    return new Promise((resolve, reject) => {
      const socket = typeof address === 'string' ? connect(address) : connect(address.port, address.host)
      socket.once('error', reject)
      socket.once('connect', () => resolve(new NbdClient(socket)))
    })
  }

  /** Resolves when the server has ended the connection. */
  get closed(): Promise<void> {
    return this.#closed
  }

  write(...parts: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(parts))
  }

  /** Rejects when the connection ends before. */
  async read(length: number): Promise<Buffer> {
    while (this.#buffer.length < length) {
      if (this.#ended) throw new Error(`the server hung up; ${this.#buffer.length} of ${length} bytes were there`)
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    const bytes = this.#buffer.subarray(0, length)
    this.#buffer = this.#buffer.subarray(length)
    return bytes
  }

  /** Bytes that came and were not read. */
  get rest(): Buffer {
    return this.#buffer
  }

  /** Greeting and flags. */
  async greet(flags = 3): Promise<void> {
    const greeting = await this.read(18)
    if (!greeting.equals(Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), u16(3)]))) throw new Error(`greeting ${greeting.toString('hex')}`)
    this.write(u32(flags))
  }

  sendOption(option: number, data: Buffer = Buffer.alloc(0)): void {
    this.write(Buffer.from('IHAVEOPT'), u32(option), u32(data.length), data)
  }

  /** All replies to an option, the final one last. */
  async option(option: number, data?: Buffer): Promise<OptionReply[]> {
    this.sendOption(option, data)
    const replies: OptionReply[] = []
    for (;;) {
      const header = await this.read(20)
      if (header.readBigUInt64BE(0) !== 0x3e889045565a9n) throw new Error(`option reply ${header.toString('hex')}`)
      const reply = { option: header.readUInt32BE(8), type: header.readUInt32BE(12), data: await this.read(header.readUInt32BE(16)) }
      if (reply.option !== option) throw new Error(`reply to option ${reply.option}`)
      replies.push(reply)
      if (reply.type === 1 || reply.type >= 0x8000_0000) return replies
    }
  }

  /** Up to the transmission phase, with NBD_OPT_GO. Rejects with the type of the error. */
  async go(name: string, options: { structured?: boolean; contexts?: readonly string[] } = {}): Promise<Negotiated> {
    const { structured = true, contexts = [] } = options
    if (structured) await this.option(8)
    this.#structured = structured
    if (contexts.length > 0) await this.option(10, Buffer.concat([string(name), u32(contexts.length), ...contexts.map(string)]))
    const replies = await this.option(7, Buffer.concat([string(name), u16(0)]))
    if (replies.at(-1)!.type !== 1) throw new Error(`GO: ${replies.at(-1)!.type.toString(16)} ${replies.at(-1)!.data.toString()}`)
    const info = replies.find(({ type, data }) => type === 3 && data.readUInt16BE(0) === 0)!.data
    return { size: Number(info.readBigUInt64BE(2)), flags: info.readUInt16BE(10), structured }
  }

  request(type: number, handle: number | bigint, offset: number | bigint, length: number, flags = 0, data: Buffer = Buffer.alloc(0)): void {
    this.write(u32(0x25609513), u16(flags), u16(type), u64(handle), u64(offset), u32(length), data)
  }

  /** One chunk of a structured reply, or a simple reply without data. */
  async chunk(): Promise<Chunk> {
    const magic = (await this.read(4)).readUInt32BE(0)
    if (magic === 0x67446698) {
      const rest = await this.read(12)
      return { type: undefined, done: true, handle: rest.readBigUInt64BE(4), error: rest.readUInt32BE(0), payload: Buffer.alloc(0) }
    }
    if (magic !== 0x668e33ef) throw new Error(`reply magic ${magic.toString(16)}`)
    const rest = await this.read(16)
    return {
      done: rest.readUInt16BE(0) === 1,
      type: rest.readUInt16BE(2),
      handle: rest.readBigUInt64BE(4),
      error: 0,
      payload: await this.read(rest.readUInt32BE(12)),
    }
  }

  /** All chunks of the reply to the only request that is under way. */
  async reply(handle: bigint): Promise<Chunk[]> {
    const chunks: Chunk[] = []
    for (;;) {
      const chunk = await this.chunk()
      if (chunk.handle !== handle) throw new Error(`a reply to ${chunk.handle}, not ${handle}`)
      chunks.push(chunk)
      if (chunk.done) return chunks
    }
  }

  #handle = 1000n

  /** Data of a range; rejects with the number of the error. */
  async pread(offset: number, length: number, flags = 0): Promise<Buffer> {
    const handle = this.#handle++
    this.request(0, handle, offset, length, flags)
    if (!this.#structured) {
      const { error } = await this.chunk()
      if (error !== 0) throw new Error(`error ${error}`)
      return this.read(length)
    }
    return assemble(await this.reply(handle), offset, length)
  }

  end(): void {
    this.socket.destroy()
  }
}

/** What the chunks of a READ say; throws when they overlap, leave something out, or tell of an error. */
export function assemble(chunks: readonly Chunk[], offset: number, length: number): Buffer {
  const out = Buffer.alloc(length)
  const seen = new Uint8Array(length)
  const cover = (from: number, bytes: number): void => {
    if (from < 0 || from + bytes > length) throw new Error(`bytes ${from}+${bytes} of ${length}`)
    for (let i = from; i < from + bytes; i++) if (seen[i]!++ > 0) throw new Error(`byte ${i} came twice`)
  }
  for (const { type, payload } of chunks) {
    if (type !== undefined && type >= 0x8000) throw new Error(`error ${payload.readUInt32BE(0)}`)
    if (type !== 1 && type !== 2) continue
    const at = Number(payload.readBigUInt64BE(0)) - offset
    if (type === 1) payload.copy(out, at, 8)
    cover(at, type === 1 ? payload.length - 8 : payload.readUInt32BE(8))
  }
  const missing = seen.indexOf(0)
  if (missing >= 0) throw new Error(`byte ${missing} is missing`)
  return out
}

/** Lengths and flags of a BLOCK_STATUS chunk. */
export function extentsOf({ payload }: Chunk): { context: number; extents: [number, number][] } {
  const extents: [number, number][] = []
  for (let at = 4; at < payload.length; at += 8) extents.push([payload.readUInt32BE(at), payload.readUInt32BE(at + 4)])
  return { context: payload.readUInt32BE(0), extents }
}

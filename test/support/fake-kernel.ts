import type { FuseDevice } from '#src/fuse/device.js'
import { Dispatcher } from '#src/fuse/dispatch.js'
import { Exchange } from '#src/fuse/exchange.js'
import { DEFAULT_SESSION_OPTIONS, type SessionOptions } from '#src/fuse/options.js'
import { opcodeOf, OPCODES } from '#src/fuse/protocol/opcodes.js'
import type { Log } from '#src/errors/log.js'
import type { Tree } from '#src/tree/tree.js'

export interface Reply {
  readonly length: number
  /** Positive. */
  readonly errno: number
  readonly unique: bigint
  readonly body: Buffer
}

export function opcode(name: string): number {
  const row = OPCODES.find((candidate) => candidate.name === name)
  if (row === undefined) throw new Error(`no opcode ${name}`)
  return row.opcode
}

/** A request as the kernel writes it. */
export function packRequest(code: number, node: bigint, unique: bigint, body: Uint8Array = new Uint8Array(0)): Buffer {
  const bytes = Buffer.alloc(40 + body.length)
  bytes.writeUInt32LE(bytes.length, 0)
  bytes.writeUInt32LE(code, 4)
  bytes.writeBigUInt64LE(unique, 8)
  bytes.writeBigUInt64LE(node, 16)
  bytes.writeUInt32LE(1000, 24)
  bytes.writeUInt32LE(1001, 28)
  bytes.writeUInt32LE(4242, 32)
  bytes.set(body, 40)
  return bytes
}

/** Little-endian numbers in a row: `u32(1, 2)`. */
export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  values.forEach((value, i) => bytes.writeUInt32LE(value, 4 * i))
  return bytes
}

export function u64(...values: (number | bigint)[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length)
  values.forEach((value, i) => bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), 8 * i))
  return bytes
}

/** fuse_read_in. */
export function readIn(offset: number | bigint, size: number): Buffer {
  return Buffer.concat([u64(0, offset), u32(size, 0), u64(0), u32(0, 0)])
}

/** fuse_init_in of a recent kernel. */
export function initIn(major: number, minor: number, flags: number, flags2: number): Buffer {
  return Buffer.concat([u32(major, minor, 131072, flags, flags2), Buffer.alloc(44)])
}

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly fields: Record<string, unknown>
}

/** Plays the kernel: requests in, replies out. */
export class FakeKernel implements FuseDevice {
  readonly replies: Reply[] = []
  readonly log: LogLine[] = []
  readonly exchange: Exchange
  readonly dispatcher: Dispatcher
  /** Negative errnos the next writes end with. */
  readonly failures: number[] = []
  /** Requests that are put off wait for `exchange.answerPutOff`, as while others wait in the device. */
  holdsBack = false
  #unique = 2n

  constructor(tree: Tree, options: Partial<SessionOptions> = {}) {
    const line = (level: string) => (message: string, fields: object = {}) => {
      this.log.push({ level, message, fields: { ...fields } })
    }
    const log: Log = { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
    this.exchange = new Exchange(this, tree, { ...DEFAULT_SESSION_OPTIONS, ...options }, log)
    this.dispatcher = new Dispatcher(this.exchange)
  }

  read(): number {
    return -11
  }

  write(bytes: Uint8Array, length: number): number {
    return this.#take(Buffer.from(bytes.subarray(0, length)))
  }

  writeParts(head: Uint8Array, body: Uint8Array): number {
    return this.#take(Buffer.concat([head, body]))
  }

  /** Writes a reply as a decode thread does. */
  take(bytes: Uint8Array): number {
    return this.#take(Buffer.from(bytes))
  }

  #take(bytes: Buffer): number {
    const failure = this.failures.shift()
    if (failure !== undefined) return failure
    this.replies.push({
      length: bytes.readUInt32LE(0),
      errno: 0 - bytes.readInt32LE(4),
      unique: bytes.readBigUInt64LE(8),
      body: bytes.subarray(16),
    })
    return bytes.length
  }

  /** Sends a request in a buffer that is overwritten as soon as the dispatcher returns; its unique. */
  send(name: string, node: number | bigint, body?: Uint8Array): bigint {
    const unique = (this.#unique += 2n)
    this.sendRaw(packRequest(opcode(name), BigInt(node), unique, body))
    return unique
  }

  sendRaw(bytes: Uint8Array): void {
    const buffer = Buffer.from(bytes)
    this.dispatcher.dispatch(buffer, buffer.length)
    buffer.fill(0xee)
    if (!this.holdsBack) while (this.exchange.answerPutOff());
  }

  /** Sends a request and waits for its one reply. */
  async ask(name: string, node: number | bigint, body?: Uint8Array): Promise<Reply> {
    const unique = this.send(name, node, body)
    for (let i = 0; i < 400; i++) {
      const found = this.replies.filter((reply) => reply.unique === unique)
      if (found.length > 1) throw new Error(`${found.length} replies to one ${name}`)
      if (found[0] !== undefined) {
        if (found[0].length !== found[0].body.length + 16) throw new Error(`reply to ${name} tells a wrong length`)
        return found[0]
      }
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    throw new Error(`no reply to ${name} (${opcodeOf(opcode(name))?.opcode})`)
  }
}

export interface Dirent {
  readonly name: string
  readonly ino: bigint
  readonly off: bigint
  readonly type: number
  /** Of a fuse_direntplus. */
  readonly nodeid?: bigint
  readonly entry?: Buffer
}

/** What the kernel makes of a listing; throws when a record is cut or not aligned. */
export function parseDirents(body: Buffer, plus: boolean): Dirent[] {
  const out: Dirent[] = []
  for (let at = 0; at < body.length; ) {
    const entry = plus ? body.subarray(at, at + 128) : undefined
    if (plus) at += 128
    const length = body.readUInt32LE(at + 16)
    if (length === 0 || at + 24 + length > body.length) throw new Error(`bad record at ${at}`)
    const end = (at + 24 + length + 7) & ~7
    if (end > body.length) throw new Error('record is not padded')
    if (body.subarray(at + 24 + length, end).some((byte) => byte !== 0)) throw new Error('padding is not zero')
    out.push({
      name: body.toString('latin1', at + 24, at + 24 + length),
      ino: body.readBigUInt64LE(at),
      off: body.readBigUInt64LE(at + 8),
      type: body.readUInt32LE(at + 20),
      ...(entry === undefined ? {} : { entry, nodeid: entry.readBigUInt64LE(0) }),
    })
    at = end
  }
  return out
}

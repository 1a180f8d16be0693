import { lendBytes } from '../bytes/lend-bytes.js'
import type { LentBytes } from '../bytes/read-at.js'
import { messageOf, PbsfsError } from '../errors/errors.js'
import type { ExportWriter } from './export.js'
import { listExtents } from './meta-contexts.js'
import { BLOCK_SIZE } from './limits.js'
import { nbdErrorOf } from './nbd-error.js'
import type { Chosen } from './negotiation.js'
import * as reply from './protocol/reply.js'
import * as cmd from './protocol/request.js'
import type { NbdRequest } from './protocol/request.js'

export interface TransmissionParts {
  /** Sends the pieces with nothing in between; `sent` is called when they are not looked at any more. */
  readonly send: (pieces: readonly Uint8Array[], sent: () => void) => void
  /** The request is answered and its answer sent, or nobody is there any more to take it. */
  readonly finished: (request: NbdRequest) => void
  /** Bytes that cannot be read. */
  readonly onProblem: (error: unknown, request: NbdRequest) => void
}

/** Flags that each command may have. */
const READS: ReadonlyMap<number, number> = new Map([
  [cmd.NBD_CMD_READ, cmd.NBD_CMD_FLAG_DF],
  [cmd.NBD_CMD_CACHE, 0],
  [cmd.NBD_CMD_BLOCK_STATUS, cmd.NBD_CMD_FLAG_REQ_ONE],
])

/** Those that change an export. */
const WRITES: ReadonlyMap<number, number> = new Map([
  [cmd.NBD_CMD_WRITE, 0],
  [cmd.NBD_CMD_TRIM, 0],
  [cmd.NBD_CMD_WRITE_ZEROES, cmd.NBD_CMD_FLAG_NO_HOLE],
])

/** Commands whose bytes are in memory while they are answered. */
const CARRIES = new Set([cmd.NBD_CMD_READ, cmd.NBD_CMD_WRITE, cmd.NBD_CMD_CACHE])

/** Zeros that take room are written in pieces. */
const ZEROS = new Uint8Array(1024 * 1024)

/** Answers the requests about one export, each when its data is there, so not in their order. */
export class Transmission {
  readonly chosen: Chosen
  readonly #parts: TransmissionParts

  constructor(chosen: Chosen, parts: TransmissionParts) {
    this.chosen = chosen
    this.#parts = parts
  }

  /** Bytes that have to be in memory to answer it. */
  costOf(request: NbdRequest): number {
    return CARRIES.has(request.type) && this.#fault(request) === undefined ? request.length : 0
  }

  /** Begins to answer; `finished` is called once for each request. `payload`: of a write that costs something. */
  begin(request: NbdRequest, payload?: Uint8Array): void {
    const fault = this.#fault(request)
    if (fault !== undefined) return this.refuse(request, ...fault)
    switch (request.type) {
      case cmd.NBD_CMD_READ:
        return request.length === 0 ? this.#succeed(request) : this.#read(request)
      case cmd.NBD_CMD_BLOCK_STATUS:
        return this.#blockStatus(request)
      case cmd.NBD_CMD_CACHE:
        return this.#cache(request)
      default:
        return this.#change(request, this.chosen.opened.writer!, payload)
    }
  }

  /** Answers with an error. */
  refuse(request: NbdRequest, error: number, message: string): void {
    const isPlain = !this.chosen.structured
    this.#send(request, [isPlain ? reply.encodeSimpleReply(request, error) : reply.encodeErrorChunk(request, true, error, message)])
  }

  /** What is wrong with a request by itself. */
  #fault({ type, flags, offset, length }: NbdRequest): [error: number, message: string] | undefined {
    const { size, writer } = this.chosen.opened
    const writes = WRITES.has(type)
    if (writes && writer === undefined) return [reply.NBD_EPERM, 'the export is read-only']
    const isFlush = type === cmd.NBD_CMD_FLUSH && writer !== undefined
    const known = isFlush ? 0 : (READS.get(type) ?? WRITES.get(type))
    if (known === undefined) return [reply.NBD_EINVAL, `${cmd.commandName(type)} is not supported`]
    // Where it is offered, any command may have it.
    const allowed = known | (writer === undefined ? 0 : cmd.NBD_CMD_FLAG_FUA)
    if ((flags & ~allowed) !== 0) return [reply.NBD_EINVAL, `${cmd.commandName(type)} does not know the flags ${flags}`]
    if (offset < 0 || offset + length > size) return [writes ? reply.NBD_ENOSPC : reply.NBD_EINVAL, 'the range goes past the end of the export']
    if (CARRIES.has(type) && length > BLOCK_SIZE.maximum) return [reply.NBD_EINVAL, `one request has at most ${BLOCK_SIZE.maximum} bytes`]
    if (type !== cmd.NBD_CMD_BLOCK_STATUS) return undefined
    if (this.chosen.contexts.length === 0) return [reply.NBD_EINVAL, 'no metadata context was selected']
    return length === 0 ? [reply.NBD_EINVAL, 'an empty range has no status'] : undefined
  }

  #change(request: NbdRequest, writer: ExportWriter, payload: Uint8Array | undefined): void {
    const fua = (request.flags & cmd.NBD_CMD_FLAG_FUA) !== 0
    const changed = this.#changed(request, writer, payload)
    const done = fua ? changed.then(() => writer.flush()) : changed
    done.then(
      () => this.#succeed(request),
      (error: unknown) => this.#fail(request, error),
    )
  }

  async #changed({ type, flags, offset, length }: NbdRequest, writer: ExportWriter, payload: Uint8Array | undefined): Promise<void> {
    if (type === cmd.NBD_CMD_FLUSH) return writer.flush()
    if (length === 0) return
    const at = this.chosen.opened.start + offset
    if (payload !== undefined) return writer.write(payload, at)
    if ((flags & cmd.NBD_CMD_FLAG_NO_HOLE) === 0) return writer.zero(at, length)
    for (let done = 0; done < length; done += ZEROS.length) await writer.write(ZEROS.subarray(0, Math.min(ZEROS.length, length - done)), at + done)
  }

  #read(request: NbdRequest): void {
    const { offset, length, flags } = request
    if (!this.chosen.structured) return this.#readPlain(request)
    const runs = (flags & cmd.NBD_CMD_FLAG_DF) === 0 ? this.#runsOf(offset, length) : [{ offset, length, isHole: false }]
    let left = runs.length
    let unsent = runs.length
    const sent = (): void => {
      if (--unsent === 0) this.#parts.finished(request)
    }
    for (const run of runs) {
      if (run.isHole) {
        this.#parts.send([reply.encodeHole(request, --left === 0, run.offset, run.length)], sent)
        continue
      }
      this.#lend(
        run.offset,
        run.length,
        ({ pieces, release }) => {
          const header = reply.encodeDataHeader(request, --left === 0, run.offset, run.length)
          this.#parts.send([header, ...pieces], () => {
            release()
            sent()
          })
        },
        (error) => {
          this.#parts.onProblem(error, request)
          this.#parts.send([reply.encodeErrorChunk(request, --left === 0, nbdErrorOf(error), messageOf(error), this.#placeOf(error, run))], sent)
        },
      )
    }
  }

  /** Nothing is sent before all is there: behind the header of a simple reply there is no place for an error. */
  #readPlain(request: NbdRequest): void {
    this.#lend(
      request.offset,
      request.length,
      ({ pieces, release }) => {
        this.#parts.send([reply.encodeSimpleReply(request, 0), ...pieces], () => {
          release()
          this.#parts.finished(request)
        })
      },
      (error) => this.#fail(request, error),
    )
  }

  #cache(request: NbdRequest): void {
    this.#lend(
      request.offset,
      request.length,
      ({ release }) => {
        release()
        this.#succeed(request)
      },
      (error) => this.#fail(request, error),
    )
  }

  #blockStatus(request: NbdRequest): void {
    const { contexts, opened } = this.chosen
    const one = (request.flags & cmd.NBD_CMD_FLAG_REQ_ONE) !== 0
    try {
      const chunks = contexts.map(({ id, name }, i) => {
        const extents = listExtents(opened.context(name), request.offset, request.length, one)
        return reply.encodeBlockStatus(request, i === contexts.length - 1, id, extents)
      })
      this.#send(request, chunks)
    } catch (error) {
      this.#fail(request, error)
    }
  }

  /** Data and holes of a range, one behind the other. */
  #runsOf(offset: number, length: number): { offset: number; length: number; isHole: boolean }[] {
    const { stream, start } = this.chosen.opened
    if (stream.nextData === undefined || stream.nextHole === undefined) return [{ offset, length, isHole: false }]
    const runs = []
    for (let at = offset, end = offset + length; at < end; ) {
      const data = Math.min(stream.nextData(start + at) - start, end)
      if (data > at) runs.push({ offset: at, length: data - at, isHole: true })
      if (data === end) break
      const hole = Math.min(stream.nextHole(start + data) - start, end)
      runs.push({ offset: data, length: hole - data, isHole: false })
      at = hole
    }
    return runs
  }

  /** One of the two is called, once. */
  #lend(offset: number, length: number, use: (lent: LentBytes) => void, fail: (error: unknown) => void): void {
    const { stream, start } = this.chosen.opened
    let lent: LentBytes | Promise<LentBytes>
    try {
      lent = lendBytes(stream, start + offset, length)
    } catch (error) {
      return fail(error)
    }
    if (lent instanceof Promise) lent.then(use, fail)
    else use(lent)
  }

  /** Where in the export it went wrong: inside the range, as the protocol wants it. */
  #placeOf(error: unknown, { offset, length }: { readonly offset: number; readonly length: number }): number {
    const { stream, start } = this.chosen.opened
    if (!(error instanceof PbsfsError) || error.fields['stream'] !== stream.name) return offset
    const at = typeof error.fields['offset'] === 'number' ? error.fields['offset'] - start : offset
    return at >= offset && at < offset + length ? at : offset
  }

  #succeed(request: NbdRequest): void {
    this.#send(request, [this.chosen.structured ? reply.encodeNone(request) : reply.encodeSimpleReply(request, 0)])
  }

  #fail(request: NbdRequest, error: unknown): void {
    this.#parts.onProblem(error, request)
    this.refuse(request, nbdErrorOf(error), messageOf(error))
  }

  #send(request: NbdRequest, pieces: readonly Uint8Array[]): void {
    this.#parts.send(pieces, () => this.#parts.finished(request))
  }
}

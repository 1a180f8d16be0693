import { lendBytes } from '../bytes/lend-bytes.js'
import type { LentBytes } from '../bytes/read-at.js'
import { PbsfsError } from '../errors/errors.js'
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
const FLAGS = new Map<number, number>([
  [cmd.NBD_CMD_READ, cmd.NBD_CMD_FLAG_DF],
  [cmd.NBD_CMD_CACHE, 0],
  [cmd.NBD_CMD_BLOCK_STATUS, cmd.NBD_CMD_FLAG_REQ_ONE],
])

/** Commands that change an export. */
const WRITES = new Set([cmd.NBD_CMD_WRITE, cmd.NBD_CMD_TRIM, cmd.NBD_CMD_WRITE_ZEROES])

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
    const reads = request.type === cmd.NBD_CMD_READ || request.type === cmd.NBD_CMD_CACHE
    return reads && this.#fault(request) === undefined ? request.length : 0
  }

  /** Begins to answer; `finished` is called once for each request. The payload of a write was taken away before. */
  begin(request: NbdRequest): void {
    const fault = this.#fault(request)
    if (fault !== undefined) return this.refuse(request, ...fault)
    switch (request.type) {
      case cmd.NBD_CMD_READ:
        return request.length === 0 ? this.#succeed(request) : this.#read(request)
      case cmd.NBD_CMD_BLOCK_STATUS:
        return this.#blockStatus(request)
      default:
        return this.#cache(request)
    }
  }

  /** Answers with an error. */
  refuse(request: NbdRequest, error: number, message: string): void {
    const isPlain = !this.chosen.structured
    this.#send(request, [isPlain ? reply.encodeSimpleReply(request, error) : reply.encodeErrorChunk(request, true, error, message)])
  }

  /** What is wrong with a request by itself. */
  #fault({ type, flags, offset, length }: NbdRequest): [error: number, message: string] | undefined {
    if (WRITES.has(type)) return [reply.NBD_EPERM, 'the export is read-only']
    const allowed = FLAGS.get(type)
    if (allowed === undefined) return [reply.NBD_EINVAL, `${cmd.commandName(type)} is not supported`]
    if ((flags & ~allowed) !== 0) return [reply.NBD_EINVAL, `${cmd.commandName(type)} does not know the flags ${flags}`]
    if (offset < 0 || offset + length > this.chosen.opened.size) return [reply.NBD_EINVAL, 'the range goes past the end of the export']
    if (type === cmd.NBD_CMD_READ && length > BLOCK_SIZE.maximum) return [reply.NBD_EINVAL, `one request reads at most ${BLOCK_SIZE.maximum} bytes`]
    if (type === cmd.NBD_CMD_CACHE && length > BLOCK_SIZE.maximum) return [reply.NBD_EINVAL, `one request loads at most ${BLOCK_SIZE.maximum} bytes`]
    if (type === cmd.NBD_CMD_BLOCK_STATUS && this.chosen.contexts.length === 0) return [reply.NBD_EINVAL, 'no metadata context was selected']
    if (type === cmd.NBD_CMD_BLOCK_STATUS && length === 0) return [reply.NBD_EINVAL, 'an empty range has no status']
    return undefined
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

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

import { KeyError, messageOf } from '../errors/errors.js'
import type { ExportTable, NbdExport, OpenExport } from './export.js'
import { BLOCK_SIZE } from './limits.js'
import { matchContexts } from './meta-contexts.js'
import * as flag from './protocol/handshake.js'
import { encodeExportReply, encodeOptionReply } from './protocol/handshake.js'
import * as opt from './protocol/options.js'

/** An export as a connection uses it. */
export interface Chosen {
  readonly name: string
  readonly opened: OpenExport
  /** Replies have the structured form. */
  readonly structured: boolean
  /** Metadata contexts by their id. */
  readonly contexts: readonly { readonly id: number; readonly name: string }[]
}

/** What follows after an option. */
export type Step =
  | { readonly next: 'option' }
  /** The connection ends when everything is sent. */
  | { readonly next: 'close'; readonly reason: string | undefined }
  | { readonly next: 'tls' }
  | { readonly next: 'transmission'; readonly chosen: Chosen }

export interface NegotiationParts {
  readonly exports: ExportTable
  readonly send: (bytes: Uint8Array) => void
  /** What the server does about TLS: `off`; `wanted`: only it and the end are allowed; `on`: the connection is encrypted. */
  readonly tls: 'off' | 'wanted' | 'on'
  /** The client understands replies to options. */
  readonly fixed: boolean
  readonly noZeroes: boolean
  /** The server is on its way out. */
  readonly isClosing: () => boolean
  /** An export that could not be opened. */
  readonly onProblem: (error: unknown, name: string) => void
}

const OPTION: Step = { next: 'option' }

/** Answers the options of one client, in their order; a new one after TLS has begun. */
export class Negotiation {
  readonly #parts: NegotiationParts
  #structured = false
  #meta: { readonly export: NbdExport; readonly names: readonly string[] } | undefined
  /** The export opened last, so that INFO and GO open it once. */
  #opened: { readonly export: NbdExport; readonly open: OpenExport } | undefined

  constructor(parts: NegotiationParts) {
    this.#parts = parts
  }

  /** Answers one option; the next one is handed in when this has settled. Never rejects but for bugs. */
  async handle(option: number, data: Uint8Array): Promise<Step> {
    if (option === opt.NBD_OPT_EXPORT_NAME) return this.#exportName(data)
    if (!this.#parts.fixed) return { next: 'close', reason: 'an option before it was negotiated that there are any' }
    if (option === opt.NBD_OPT_ABORT) {
      this.#reply(option, opt.NBD_REP_ACK)
      return { next: 'close', reason: undefined }
    }
    if (this.#parts.isClosing()) return this.#refuse(option, opt.NBD_REP_ERR_SHUTDOWN, 'the server is ending')
    if (option === opt.NBD_OPT_STARTTLS) return this.#startTls(data)
    if (this.#parts.tls === 'wanted') return this.#refuse(option, opt.NBD_REP_ERR_TLS_REQD, 'this server wants TLS')
    switch (option) {
      case opt.NBD_OPT_LIST:
        return this.#list(data)
      case opt.NBD_OPT_INFO:
      case opt.NBD_OPT_GO:
        return this.#go(option, data)
      case opt.NBD_OPT_STRUCTURED_REPLY:
        if (data.length > 0) return this.#refuse(option, opt.NBD_REP_ERR_INVALID, 'this option has no data')
        this.#structured = true
        return this.#ack(option)
      case opt.NBD_OPT_LIST_META_CONTEXT:
      case opt.NBD_OPT_SET_META_CONTEXT:
        return this.#metaContexts(option, data)
      default:
        return this.#refuse(option, opt.NBD_REP_ERR_UNSUP, `option ${option} is not known`)
    }
  }

  /** An option whose data is too long to be looked at. */
  refuseTooBig(option: number): void {
    this.#refuse(option, opt.NBD_REP_ERR_TOO_BIG, 'the option is too long')
  }

  async #exportName(data: Uint8Array): Promise<Step> {
    if (this.#parts.tls === 'wanted') return { next: 'close', reason: 'an export was asked for without TLS' }
    if (this.#parts.isClosing()) return { next: 'close', reason: undefined }
    const name = opt.decodeString(data)
    if (name === undefined) return { next: 'close', reason: 'the name of an export that is none' }
    const found = await this.#open(name)
    if ('problem' in found) return { next: 'close', reason: found.problem }
    const chosen = this.#choose(found.export, found.open)
    this.#parts.send(encodeExportReply(found.open.size, transmissionFlags(chosen), this.#parts.noZeroes))
    return { next: 'transmission', chosen }
  }

  #startTls(data: Uint8Array): Step {
    const { tls } = this.#parts
    if (data.length > 0) return this.#refuse(opt.NBD_OPT_STARTTLS, opt.NBD_REP_ERR_INVALID, 'this option has no data')
    if (tls === 'off') return this.#refuse(opt.NBD_OPT_STARTTLS, opt.NBD_REP_ERR_POLICY, 'this server has no TLS')
    if (tls === 'on') return this.#refuse(opt.NBD_OPT_STARTTLS, opt.NBD_REP_ERR_INVALID, 'the connection is encrypted already')
    this.#ack(opt.NBD_OPT_STARTTLS)
    return { next: 'tls' }
  }

  #list(data: Uint8Array): Step {
    if (data.length > 0) return this.#refuse(opt.NBD_OPT_LIST, opt.NBD_REP_ERR_INVALID, 'this option has no data')
    for (const { name, description } of this.#parts.exports.list()) {
      this.#reply(opt.NBD_OPT_LIST, opt.NBD_REP_SERVER, opt.encodeServer(name, description))
    }
    return this.#ack(opt.NBD_OPT_LIST)
  }

  async #go(option: number, data: Uint8Array): Promise<Step> {
    const request = opt.decodeInfoRequest(data)
    if (request === undefined) return this.#refuse(option, opt.NBD_REP_ERR_INVALID, 'the option does not have the form it should have')
    const found = await this.#open(request.name)
    if ('problem' in found) return this.#refuse(option, found.type, found.problem)
    const { export: wanted, open } = found
    const chosen = this.#choose(wanted, open)
    const info = (bytes: Uint8Array): void => this.#reply(option, opt.NBD_REP_INFO, bytes)
    info(opt.encodeInfoExport(open.size, transmissionFlags(chosen)))
    if (request.wanted.has(opt.NBD_INFO_NAME)) info(opt.encodeInfoText(opt.NBD_INFO_NAME, wanted.name))
    if (request.wanted.has(opt.NBD_INFO_DESCRIPTION)) info(opt.encodeInfoText(opt.NBD_INFO_DESCRIPTION, wanted.description))
    if (request.wanted.has(opt.NBD_INFO_BLOCK_SIZE)) info(opt.encodeInfoBlockSize(BLOCK_SIZE.minimum, BLOCK_SIZE.preferred, BLOCK_SIZE.maximum))
    this.#ack(option)
    return option === opt.NBD_OPT_GO ? { next: 'transmission', chosen } : OPTION
  }

  async #metaContexts(option: number, data: Uint8Array): Promise<Step> {
    const listing = option === opt.NBD_OPT_LIST_META_CONTEXT
    if (!listing) this.#meta = undefined
    if (!this.#structured) return this.#refuse(option, opt.NBD_REP_ERR_INVALID, 'contexts need structured replies')
    const request = opt.decodeMetaRequest(data)
    if (request === 'too-big') return this.#refuse(option, opt.NBD_REP_ERR_TOO_BIG, 'too many queries')
    if (request === undefined) return this.#refuse(option, opt.NBD_REP_ERR_INVALID, 'the option does not have the form it should have')
    const found = await this.#parts.exports.find(request.name)
    if (found === undefined) return this.#refuse(option, opt.NBD_REP_ERR_UNKNOWN, noExport(request.name))
    const matched = request.queries.flatMap((query) => matchContexts(found.contexts, query, listing))
    const names = listing && request.queries.length === 0 ? found.contexts : [...new Set(matched)]
    names.forEach((name, i) => this.#reply(option, opt.NBD_REP_META_CONTEXT, opt.encodeMetaContext(listing ? 0 : i + 1, name)))
    if (!listing) this.#meta = { export: found, names }
    return this.#ack(option)
  }

  async #open(name: string): Promise<{ export: NbdExport; open: OpenExport } | { type: number; problem: string }> {
    try {
      const found = await this.#parts.exports.find(name)
      if (found === undefined) return { type: opt.NBD_REP_ERR_UNKNOWN, problem: noExport(name) }
      if (this.#opened?.export !== found) this.#opened = { export: found, open: await found.open() }
      return this.#opened
    } catch (error) {
      this.#parts.onProblem(error, name)
      const type = error instanceof KeyError ? opt.NBD_REP_ERR_POLICY : opt.NBD_REP_ERR_UNKNOWN
      return { type, problem: messageOf(error) }
    }
  }

  #choose(wanted: NbdExport, opened: OpenExport): Chosen {
    const names = this.#meta?.export === wanted ? this.#meta.names : []
    return { name: wanted.name, opened, structured: this.#structured, contexts: names.map((name, i) => ({ id: i + 1, name })) }
  }

  #reply(option: number, type: number, data?: Uint8Array): void {
    this.#parts.send(encodeOptionReply(option, type, data))
  }

  #ack(option: number): Step {
    this.#reply(option, opt.NBD_REP_ACK)
    return OPTION
  }

  #refuse(option: number, type: number, message: string): Step {
    this.#reply(option, type, Buffer.from(message).subarray(0, opt.MAX_STRING))
    return OPTION
  }
}

function noExport(name: string): string {
  return name === '' ? 'there is no export' : `there is no export of the name "${name.slice(0, 256)}"`
}

/** Transmission flags of an export. The cache is one for all connections, so they may be many. */
function transmissionFlags({ structured, opened }: Chosen): number {
  const writable = flag.NBD_FLAG_SEND_FLUSH | flag.NBD_FLAG_SEND_FUA | flag.NBD_FLAG_SEND_TRIM | flag.NBD_FLAG_SEND_WRITE_ZEROES
  return (
    flag.NBD_FLAG_HAS_FLAGS |
    (opened.writer === undefined ? flag.NBD_FLAG_READ_ONLY : writable) |
    flag.NBD_FLAG_CAN_MULTI_CONN |
    flag.NBD_FLAG_SEND_CACHE |
    (structured ? flag.NBD_FLAG_SEND_DF : 0)
  )
}

import { createServer, type Server, type Socket } from 'node:net'
import { SourceError } from '../errors/errors.js'
import type { Log } from '../errors/log.js'
import { ByteBudget } from './byte-budget.js'
import { NbdConnection } from './connection.js'
import type { ExportTable } from './export.js'
import { DEFAULT_LIMITS, type NbdLimits } from './limits.js'
import type { ListenAddress } from './listen-address.js'
import { listenOnPath } from './unix-listener.js'

export interface NbdServerParts {
  readonly exports: ExportTable
  readonly log: Log
  /** Bytes of an export that cannot be read, or an export that cannot be opened. */
  readonly onProblem: (error: unknown, exportName: string, offset?: number) => void
  readonly startTls?: ((socket: Socket) => Promise<Socket>) | undefined
  readonly limits?: Partial<NbdLimits> | undefined
}

/** Serves exports to any number of clients, until it is closed. */
export class NbdServer {
  /** Where it listens; the port is the real one. */
  readonly address: ListenAddress
  readonly #server: Server
  readonly #connections: ReadonlySet<NbdConnection>
  readonly #tending: NodeJS.Timeout
  readonly #limits: NbdLimits
  #closed: Promise<void> | undefined

  private constructor(address: ListenAddress, server: Server, connections: ReadonlySet<NbdConnection>, tending: NodeJS.Timeout, limits: NbdLimits) {
    this.address = address
    this.#server = server
    this.#connections = connections
    this.#tending = tending
    this.#limits = limits
  }

  /** Rejects with what keeps it from listening there. */
  static async listen(address: ListenAddress, parts: NbdServerParts): Promise<NbdServer> {
    const limits = { ...DEFAULT_LIMITS, ...parts.limits }
    const budget = new ByteBudget(limits.totalBytes)
    const connections = new Set<NbdConnection>()
    let number = 0
    const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) => {
      if (connections.size >= limits.connections) {
        parts.log.warn(`a client was sent away: there are ${limits.connections} connections`)
        return void socket.destroy()
      }
      const connection: NbdConnection = new NbdConnection(socket, {
        ...parts,
        limits,
        budget,
        number: ++number,
        onClosed: () => connections.delete(connection),
      })
      connections.add(connection)
    })
    const listening = address.kind === 'unix' ? await listenOnPath(server, address.path).then(() => address) : await listenOnPort(server, address)
    server.on('error', (error) => parts.log.warn('a connection could not be taken', { error: error.message }))
    const tending = setInterval(() => tend(connections, budget, limits), limits.tendMs)
    return new NbdServer(listening, server, connections, tending, limits)
  }

  get connections(): number {
    return this.#connections.size
  }

  /** Takes no more clients, answers what was asked, ends the connections. What does not get done in time is cut off. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      clearInterval(this.#tending)
      const cutOff = setTimeout(() => this.cutOff(), this.#limits.closingMs)
      this.#server.close(() => {
        clearTimeout(cutOff)
        resolve()
      })
      for (const connection of [...this.#connections]) connection.close()
    })
    return this.#closed
  }

  /** Ends all connections now. */
  cutOff(): void {
    for (const connection of [...this.#connections]) connection.destroy()
  }
}

/** Names what waits long, and drops who keeps others waiting. */
function tend(connections: ReadonlySet<NbdConnection>, budget: ByteBudget, limits: NbdLimits): void {
  const now = performance.now()
  for (const connection of [...connections]) {
    connection.reportSlow(now)
    const since = connection.stalledSince
    if (budget.waiting > 0 && since !== undefined && now - since >= limits.stalledMs) connection.dropStalled()
  }
}

function listenOnPort(server: Server, address: Extract<ListenAddress, { kind: 'tcp' }>): Promise<ListenAddress> {
  const { host, port } = address
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      const code = error.code ?? error.message
      reject(new SourceError(`cannot listen on ${host}:${port} (${code})`, { path: `${host}:${port}`, operation: 'listen', code }, { cause: error }))
    }
    server.once('error', onError)
    server.listen(port, host, () => {
      server.off('error', onError)
      const bound = server.address()
      resolve({ ...address, port: typeof bound === 'object' && bound !== null ? bound.port : port })
    })
  })
}

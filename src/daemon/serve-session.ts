import type { OpenTree } from '../app/open-settings.js'
import { openTree } from '../app/open-tree.js'
import { resolveFallbacks } from '../app/fallback-stores.js'
import { ProblemLog } from '../app/problem-log.js'
import { reportDamage } from '../app/report-damage.js'
import type { SpareThreads } from '../app/spare-threads.js'
import { toPlainError, type ErrorFields } from '../errors/errors.js'
import type { Log } from '../errors/log.js'
import { decodeSecrets } from '../keys/secrets.js'
import { resolveSource } from '../source/resolve-source.js'
import { parseSource } from '../source/source-string.js'
import type { Tree } from '../tree/tree.js'
import type { FromSession, SessionEnd, SessionStart, ToSession } from './messages.js'
import { decodeBytes, DEFAULT_LOCK_IDLE_MS } from './mount-config.js'
import type { SessionStatus } from './status.js'

/** The main thread of the daemon as the session sees it. */
export interface SessionPort {
  send(message: FromSession): void
  /** Called with every message, the start first. */
  onMessage(listener: (message: SessionStart | ToSession) => void): void
  /** Nothing more is said; resolves when everything was sent. */
  close(): Promise<void>
}

/** Who answers the kernel. */
export interface Driver {
  run(): Promise<SessionEnd>
  /** Ends `run` at once. */
  stop(): void
  counts(): { readonly total: number; readonly waiting: number; readonly bytesRead: number }
}

export interface DriverParts {
  readonly start: SessionStart
  readonly tree: Tree
  /** Memory of the decoded chunks, when there are any. */
  readonly memory: SharedArrayBuffer | undefined
  readonly log: Log
  /** The mount answers. */
  readonly onReady: () => void
}

/**
 * Waits for the start, opens the source, makes the tree and serves it, to the end. `spares`: threads to
 * use; those that are not needed are ended.
 */
export async function serveSession(port: SessionPort, openDriver: (parts: DriverParts) => Driver, spares?: SpareThreads): Promise<void> {
  const serving = new ServedSession(port, spares)
  // A promise that nobody waited for is a bug, but no reason to take the mount from its users.
  process.on('unhandledRejection', (reason) => serving.reportBug(reason))
  const start = await new Promise<SessionStart>((resolve) => {
    port.onMessage((message) => {
      if (message.type === 'start') resolve(message)
      else serving.handle(message)
    })
  })
  try {
    await serving.run(start, openDriver)
  } catch (error) {
    port.send({ type: 'failed', error: toPlainError(error) })
  } finally {
    spares?.end()
    await port.close()
  }
}

class ServedSession {
  readonly #port: SessionPort
  readonly #spares: SpareThreads | undefined
  readonly #problems = new ProblemLog()
  readonly #log: Log
  #opened: OpenTree | undefined
  #driver: Driver | undefined

  constructor(port: SessionPort, spares: SpareThreads | undefined) {
    this.#port = port
    this.#spares = spares
    const at =
      (level: 'debug' | 'info' | 'warn' | 'error') =>
      (message: string, fields?: ErrorFields): void =>
        port.send({ type: 'log', level, message, ...(fields === undefined ? {} : { fields }) })
    this.#log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  }

  reportBug(reason: unknown): void {
    const stack = reason instanceof Error ? reason.stack : undefined
    this.#log.error('bug: a failure that nobody waited for', { error: String(reason), ...(stack === undefined ? {} : { stack }) })
  }

  handle(message: ToSession): void {
    if (message.type === 'stop') this.#driver?.stop()
    else this.#port.send({ type: 'status', id: message.id, status: this.#status() })
  }

  async run(start: SessionStart, openDriver: (parts: DriverParts) => Driver): Promise<void> {
    const opened = await this.#open(start)
    this.#opened = opened
    // Of what is no datastore they are not needed.
    this.#spares?.end()
    try {
      this.#driver = openDriver({
        start,
        tree: opened.tree,
        memory: opened.cache?.memory,
        log: this.#requestLog(),
        onReady: () => {
          this.#port.send({ type: 'ready' })
          opened.warmUp()
        },
      })
      this.#port.send({ type: 'ended', reason: await this.#driver.run() })
    } finally {
      await opened.close()
    }
  }

  async #open({ config, fd, secrets }: SessionStart): Promise<OpenTree> {
    const { source, cacheBytes, decoders, force, lock, damaged, fallbacks = [], server = {}, overlay } = config
    const keys = decodeSecrets(secrets)
    const where = {
      cwd: decodeBytes(source.cwd),
      ...(server.configDir === undefined ? {} : { configDir: server.configDir }),
    }
    const resolved = await resolveSource(parseSource(decodeBytes(source.text)), {
      ...where,
      ...(source.payloadInput === undefined ? {} : { payloadInput: decodeBytes(source.payloadInput) }),
    })
    return openTree(resolved, {
      cacheBytes,
      decoders,
      ...(fd < 0 ? {} : { replyFd: fd }),
      secrets: keys,
      force: force === true,
      damaged,
      ...(overlay === undefined ? {} : { overlays: decodeBytes(overlay) }),
      fallbacks: await resolveFallbacks(fallbacks.map(decodeBytes), where),
      locks: { mode: lock, releaseAfterMs: server.lockIdleMs ?? DEFAULT_LOCK_IDLE_MS, runtimeDir: server.runtimeDir },
      spares: this.#spares,
      log: this.#log,
      problems: this.#problems,
      renderStatus: () => Promise.resolve(`${JSON.stringify(this.#status(), null, 2)}\n`),
    })
  }

  /** What the driver logs about requests that failed is what `errors` shows. */
  #requestLog(): Log {
    const log = this.#log
    return {
      ...log,
      warn: (message, fields) => this.#warn(message, fields),
      error: (message, fields) => this.#remember(message, fields) && log.error(message, fields),
    }
  }

  /** A file that cannot be read is named by its path, which has to be found. */
  #warn(message: string, fields: ErrorFields = {}): void {
    const { error, node, unique: _unique, ...rest } = fields
    const tree = this.#opened?.tree
    if (tree === undefined || typeof error !== 'string' || (typeof node !== 'number' && typeof node !== 'string')) {
      if (this.#remember(message, fields)) this.#log.warn(message, fields)
      return
    }
    const number = BigInt(node)
    const id = { hi: Number(number >> 32n), lo: Number(number & 0xffff_ffffn) }
    reportDamage({ log: this.#log, problems: this.#problems }, tree, id, error, { node, ...rest })
  }

  /** False when the same was seen before: a broken chunk is logged once, not at every read. */
  #remember(message: string, fields: ErrorFields = {}): boolean {
    const { error, unique: _unique, ...rest } = fields
    return this.#problems.add(new Error(typeof error === 'string' ? error : message), rest)
  }

  #status(): SessionStatus {
    const cache = this.#opened?.cacheUse()
    const loads = this.#opened?.loader?.stats()
    const counts = this.#driver?.counts()
    const locks = this.#opened?.locks()
    return {
      cache: {
        limitBytes: cache?.limitBytes ?? 0,
        usedBytes: cache?.usedBytes ?? 0,
        chunks: cache?.chunks ?? 0,
        hits: loads?.hits ?? 0,
        misses: loads?.misses ?? 0,
      },
      requests: { total: counts?.total ?? 0, inFlight: counts?.waiting ?? 0, bytesRead: counts?.bytesRead ?? 0 },
      errors: { count: this.#problems.count, recent: this.#problems.list().slice(-20) },
      sources: this.#opened?.sources() ?? [],
      ...(locks === undefined ? {} : { locks }),
    }
  }
}

import { parentPort } from 'node:worker_threads'
import { openTree, type OpenTree } from '../app/open-tree.js'
import { ProblemLog } from '../app/problem-log.js'
import { toPlainError, type ErrorFields } from '../errors/errors.js'
import type { Log } from '../errors/log.js'
import { checksPermissions } from '../fuse/mount-options.js'
import { raiseReadahead } from '../fuse/readahead.js'
import { FuseSession } from '../fuse/session.js'
import { resolveSource } from '../source/resolve-source.js'
import { parseSource } from '../source/source-string.js'
import type { FromSession, SessionStart, ToSession } from './messages.js'
import { decodeBytes, type MountConfig } from './mount-config.js'
import type { SessionStatus } from './status.js'

/*
 * The thread that answers the kernel: opens the source, makes the tree, runs the session. The
 * main thread owns the mount; this one only ever sees the device.
 */
const port = parentPort!
// The thread is started before there is anything to mount: its modules are loaded by then.
const { fd, mountpoint, config } = await new Promise<SessionStart>((resolve) => port.once('message', resolve))
const problems = new ProblemLog()
let session: FuseSession | undefined
let opened: OpenTree | undefined

function tell(message: FromSession): void {
  port.postMessage(message)
}

function logAt(level: 'debug' | 'info' | 'warn' | 'error') {
  return (message: string, fields?: ErrorFields) =>
    tell({ type: 'log', level, message, ...(fields === undefined ? {} : { fields }) })
}

const log: Log = { debug: logAt('debug'), info: logAt('info'), warn: logAt('warn'), error: logAt('error') }

/** What the session logs about requests that failed is what `errors` shows. */
const sessionLog: Log = {
  ...log,
  warn: (message, fields) => remember(message, fields) && log.warn(message, fields),
  error: (message, fields) => remember(message, fields) && log.error(message, fields),
}

/** False when the same was seen before: a broken chunk is logged once, not at every read. */
function remember(message: string, fields: ErrorFields = {}): boolean {
  const { error, unique: _unique, ...rest } = fields
  return problems.add(new Error(typeof error === 'string' ? error : message), rest)
}

function status(): SessionStatus {
  const cache = opened?.cache?.stats()
  const loads = opened?.loader?.stats()
  const stats = session?.stats()
  const total = stats?.opcodes.reduce((sum, opcode) => sum + opcode.count, 0) ?? 0
  return {
    cache: {
      limitBytes: cache?.sizeBytes ?? 0,
      usedBytes: cache?.usedBytes ?? 0,
      chunks: cache?.chunks ?? 0,
      hits: loads?.hits ?? 0,
      misses: loads?.misses ?? 0,
    },
    requests: { total, inFlight: stats?.waiting ?? 0, bytesRead: stats?.bytesRead ?? 0 },
    errors: { count: problems.count, recent: problems.list().slice(-20) },
    sources: opened?.sources() ?? [],
  }
}

async function open(configured: MountConfig, replyFd: number): Promise<OpenTree> {
  const { source } = configured
  const resolved = await resolveSource(parseSource(decodeBytes(source.text)), {
    cwd: decodeBytes(source.cwd),
    ...(source.payloadInput === undefined ? {} : { payloadInput: decodeBytes(source.payloadInput) }),
  })
  return openTree(resolved, {
    cacheBytes: configured.cacheBytes,
    decoders: configured.decoders,
    replyFd,
    log,
    problems,
    renderStatus: () => Promise.resolve(`${JSON.stringify(status(), null, 2)}\n`),
  })
}

async function run(): Promise<void> {
  opened = await open(config, fd)
  const { options } = config
  const checked = checksPermissions(options)
  session = new FuseSession({
    fd,
    tree: opened.tree,
    log: sessionLog,
    options: {
      posixAcl: checked,
      override: { uid: options.uid, gid: options.gid, umask: options.umask },
      traceRequests: config.log.level === 'debug',
    },
    onReady: () => {
      raiseReadahead(decodeBytes(mountpoint))
      tell({ type: 'ready' })
    },
  })
  try {
    tell({ type: 'ended', reason: await session.run() })
  } finally {
    await opened.close()
  }
}

port.on('message', (message: ToSession) => {
  if (message.type === 'stop') session?.stop()
  else tell({ type: 'status', id: message.id, status: status() })
})

try {
  await run()
} catch (error) {
  tell({ type: 'failed', error: toPlainError(error) })
} finally {
  port.close()
}

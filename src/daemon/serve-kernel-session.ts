import type { MessagePort } from 'node:worker_threads'
import type { SpareThreads } from '../app/spare-threads.js'
import { checksPermissions } from '../fuse/mount-options.js'
import { raiseReadahead } from '../fuse/readahead.js'
import type { SessionOptions } from '../fuse/options.js'
import { FuseSession } from '../fuse/session.js'
import { compileLast } from '../posix/thread.js'
import type { MaybePromise, Tree } from '../tree/tree.js'
import { decodeBytes } from './mount-config.js'
import { serveSession, type Driver, type DriverParts } from './serve-session.js'

/** Bytes of one write, at most. */
const MAX_WRITE = 1024 * 1024

/** Serves the mount that the first message to the port tells of, through the kernel driver. */
export function serveKernelSession(port: MessagePort, spares: SpareThreads): Promise<void> {
  return serveSession(
    {
      send: (message) => port.postMessage(message),
      onMessage: (listener) => port.on('message', listener),
      close: () => Promise.resolve(port.close()),
    },
    openKernelDriver,
    spares,
  )
}

/** The kernel opens files by itself unless the tree wants to know. */
function openOptions(tree: Tree): Partial<SessionOptions> {
  const { open, release, writes } = tree
  if (writes !== undefined && open === undefined) return { noOpen: false }
  if (open === undefined) return {}
  return {
    noOpen: false,
    hooks: {
      onOpen: (node) => mapLater(open(node), (fh) => ({ fh })),
      onRelease: (_node, fh) => release?.(fh),
    },
  }
}

function mapLater<T, R>(value: MaybePromise<T>, use: (value: T) => R): MaybePromise<R> {
  return value instanceof Promise ? value.then(use) : use(value)
}

function openKernelDriver({ start: { fd, mountpoint, config }, tree, memory, log, onReady }: DriverParts): Driver {
  const { options } = config
  const session = new FuseSession({
    fd,
    tree,
    log,
    options: {
      ...openOptions(tree),
      ...(tree.writes === undefined ? {} : { init: { maxWrite: MAX_WRITE } }),
      posixAcl: checksPermissions(options),
      override: { uid: options.uid, gid: options.gid, umask: options.umask },
      pushMemory: memory,
      traceRequests: config.log.level === 'debug',
    },
    onReady: () => {
      raiseReadahead(decodeBytes(mountpoint))
      compileLast()
      onReady()
    },
  })
  return {
    run: () => session.run(),
    stop: () => session.stop(),
    counts: () => {
      const { opcodes, waiting, bytesRead } = session.stats()
      return { total: opcodes.reduce((sum, opcode) => sum + opcode.count, 0), waiting, bytesRead }
    },
  }
}

import { availableParallelism } from 'node:os'
import type { NodeId, MaybePromise } from '../tree/tree.js'
import type { AttrOverride } from './attr-bridge.js'
import { DEFAULT_WISHES, type InitWishes } from './protocol/init.js'

/** How a file that is opened behaves. */
export interface Opened {
  /** Handle that comes back at release; below 2^53. */
  readonly fh: number
  /** Ask the daemon at every read, cache nothing. */
  readonly directIo?: boolean
}

/** Told when files and directories are opened and closed, for a session that answers OPEN. */
export interface OpenHooks {
  onOpen(node: NodeId, directory: boolean): MaybePromise<Opened>
  onRelease(node: NodeId, fh: number, directory: boolean): void
}

export interface SessionOptions {
  /** Answer OPEN with ENOSYS: the kernel then opens files itself, for the whole connection. */
  readonly noOpen: boolean
  /** The same for directories; listings are cached by the kernel. */
  readonly noOpendir: boolean
  /** Without hooks every open succeeds with handle 0. */
  readonly hooks?: OpenHooks | undefined
  /** The mount checks POSIX ACLs (implies default_permissions); needs no listing of it elsewhere. */
  readonly posixAcl: boolean
  readonly override?: AttrOverride | undefined
  /** What differs from the usual wishes at INIT. */
  readonly init?: Partial<InitWishes> | undefined
  /** Memory that `ReadAt.share` speaks of: small files are pushed out of it. Absent: none are. */
  readonly pushMemory?: SharedArrayBuffer | undefined
  /** One debug record for each request. */
  readonly traceRequests: boolean
  /** Microseconds the session looks for the next request before it sleeps, while they come that fast. */
  readonly spinUs: number
  /** A request that waits this long and whose caller was interrupted is answered EINTR. */
  readonly interruptAfterMs: number
}

export const DEFAULT_SESSION_OPTIONS: SessionOptions = {
  noOpen: true,
  noOpendir: true,
  posixAcl: false,
  traceRequests: false,
  // A single CPU belongs to who asks.
  spinUs: availableParallelism() > 1 ? 50 : 0,
  interruptAfterMs: 3000,
}

/** What INIT is asked for under these options. */
export function wishesFor(options: SessionOptions): InitWishes {
  const wishes: InitWishes = { ...DEFAULT_WISHES, ...options.init }
  return options.posixAcl ? { ...wishes, flags: [...wishes.flags, 'POSIX_ACL'] } : wishes
}

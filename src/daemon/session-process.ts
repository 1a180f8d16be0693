import { readSync } from 'node:fs'
import { MountError, UsageError } from '../errors/errors.js'
import { NativeSession } from '../fuse-native/session.js'
import {
  checksPermissions, MS_DIRSYNC, MS_NOATIME, MS_NOEXEC, MS_NOSYMFOLLOW, MS_SYNCHRONOUS, type MountOptions,
} from '../fuse/mount-options.js' // prettier-ignore
import { F_SETFD, libc } from '../fuse/libc.js'
import { findMountAt } from '../fuse/mountinfo.js'
import { exitNow } from './exit-now.js'
import type { FromSession, ProcessStart, ToSession } from './messages.js'
import { decodeBytes } from './mount-config.js'
import { serveSession, type Driver, type DriverParts } from './serve-session.js'

/*
 * The process that serves through fuse-native. That library calls back into the main thread of a
 * process and no other, so it cannot run beside the daemon's own main thread, which must be free
 * to unmount; and when it crashes, the daemon is still there to clean up.
 */
const STDIN = 0
const STDERR = 2

const WORDS: readonly (readonly [flag: number, word: string])[] = [
  [MS_NOEXEC, 'noexec'], [MS_NOATIME, 'noatime'], [MS_SYNCHRONOUS, 'sync'], [MS_DIRSYNC, 'dirsync'],
] // prettier-ignore

// A terminal sends them to the whole group; the daemon decides what they mean.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
// The daemon has gone: so does the mount.
process.on('disconnect', () => exitNow(0))

// Node closes it for programs it does not start itself; fusermount says on it what is wrong.
libc().fcntl(STDERR, F_SETFD, 0)

let sent: Promise<void> = Promise.resolve()

function send(message: FromSession): void {
  const previous = sent
  sent = new Promise((resolve) => process.send!(message, () => resolve(previous)))
}

await serveSession(
  {
    send,
    onMessage: (listener) =>
      process.on('message', (received) => {
        const message = received as ProcessStart | ToSession
        if (message.type !== 'start') return listener(message)
        const { secretBytes, ...start } = message
        listener({ ...start, secrets: readSecrets(secretBytes) })
      }),
    close: () => sent,
  },
  openNativeDriver,
)
// Threads of the library may still wait; nobody waits for them.
exitNow(0)

/** The receiver zeroes them. */
function readSecrets(length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; ) {
    const count = readSync(STDIN, bytes, at, length - at, null)
    if (count === 0) throw new MountError('the daemon has gone')
    at += count
  }
  return bytes
}

function openNativeDriver({ start, tree, log, onReady }: DriverParts): Driver {
  const { options } = start.config
  refuseUnsupported(options)
  const mountpoint = decodeBytes(start.mountpoint)
  return new NativeSession({
    tree,
    log,
    mountpoint,
    options: {
      source: options.fsname ?? start.source,
      allowOther: options.allowOther,
      checkPermissions: checksPermissions(options),
      maxRead: options.maxRead,
      words: WORDS.flatMap(([flag, word]) => ((options.flags & flag) === 0 ? [] : [word])),
      override: { uid: options.uid, gid: options.gid, umask: options.umask },
    },
    isMounted: () => findMountAt(mountpoint) !== undefined,
    onReady,
  })
}

/** What libfuse 2 does not know and must not be left out without a word. */
function refuseUnsupported({ flags, contexts }: MountOptions): void {
  const word = (flags & MS_NOSYMFOLLOW) === 0 ? contexts[0] : 'nosymfollow'
  if (word === undefined) return
  throw new UsageError(`Mount option "${word}" does not work with --driver fuse-native.`, { option: word, remedy: 'Leave out --driver.' })
}

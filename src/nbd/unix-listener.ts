import { closeSync, constants, lstatSync, openSync, unlinkSync } from 'node:fs'
import { connect, type Server } from 'node:net'
import { dirname } from 'node:path'
import { BusyError, SourceError, UsageError } from '../errors/errors.js'
import { tryLock } from '../posix/flock.js'

/** A server on this host that takes longer to answer is alive all the same. */
const PROBE_MS = 2_000

/** Others who look at the same stale socket are done by then. */
const LOCK_TRIES = 50
const LOCK_WAIT_MS = 20

/** Nobody but the owner may connect. */
const SOCKET_UMASK = 0o177

/**
 * Listens on a socket file that only its owner can use. One that a dead server left is replaced. BusyError when a server
 * is alive behind it, UsageError when something else has that name, SourceError when it cannot be made.
 */
export async function listenOnPath(server: Server, path: string): Promise<void> {
  if (await tryListen(server, path)) return
  const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    // Two that find the same stale socket must not remove each other's.
    for (let i = 0; i < LOCK_TRIES && tryLock(folder, 'exclusive') !== undefined; i++) await new Promise((resolve) => setTimeout(resolve, LOCK_WAIT_MS))
    if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false) {
      throw new UsageError(`${path} exists and is not a socket`, { path, remedy: 'Choose another path for --socket.' })
    }
    if (await isAlive(path)) throw inUse(path)
    unlinkSync(path)
    if (!(await tryListen(server, path))) throw inUse(path)
  } finally {
    closeSync(folder)
  }
}

/** False: the name is taken. */
function tryListen(server: Server, path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      if (error.code === 'EADDRINUSE') resolve(false)
      else reject(new SourceError(`cannot listen on ${path} (${error.code ?? error.message})`, { path, operation: 'listen', code: error.code }, { cause: error }))
    }
    server.once('error', onError)
    // The file is made before `listen` returns, so nobody else meets this umask.
    const before = process.umask(SOCKET_UMASK)
    try {
      server.listen(path, () => {
        server.off('error', onError)
        resolve(true)
      })
    } finally {
      process.umask(before)
    }
  })
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const finish = (alive: boolean): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(alive)
    }
    const timer = setTimeout(() => finish(true), PROBE_MS)
    socket.on('connect', () => finish(true))
    // EAGAIN: its queue is full. Nobody listening is ECONNREFUSED.
    socket.on('error', (error: NodeJS.ErrnoException) => finish(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'))
  })
}

function inUse(path: string): BusyError {
  return new BusyError(`a server listens on ${path} already`, { path, holder: 'a live server', remedy: 'Choose another path with --socket, or end that server.' })
}

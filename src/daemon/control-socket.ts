import { chmodSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { SourceError } from '../errors/errors.js'
import { isMountStatus, type MountStatus } from './status.js'

/** A caller sends one line and gets one line; who sends more is cut off. */
const MAX_REQUEST_BYTES = 1024
const MAX_ANSWER_BYTES = 4 * 1024 * 1024

/** A caller that connects and says nothing is dropped. */
const REQUEST_TIMEOUT_MS = 5_000

const STATUS_REQUEST = '{"request":"status"}\n'

export interface ControlSocket {
  readonly path: string
  close(): Promise<void>
}

/**
 * Listens on a socket that only its owner may use and answers each connection with the status, so
 * that nobody has to touch a mount to ask how it is.
 */
export async function openControlSocket(path: string, status: () => Promise<MountStatus>): Promise<ControlSocket> {
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.setTimeout(REQUEST_TIMEOUT_MS, () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => open.delete(socket))
    answer(socket, status)
  })
  // The name holds our pid: what is there belonged to a process that is gone.
  rmSync(path, { force: true })
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(path, resolve)
    })
    // Until here the folder (0700) keeps others out.
    chmodSync(path, 0o600)
  } catch (error) {
    throw new SourceError(`cannot listen on ${path}`, { path, operation: 'listen' }, { cause: error })
  }
  server.unref()
  return {
    path,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of open) socket.destroy()
      }),
  }
}

function answer(socket: Socket, status: () => Promise<MountStatus>): void {
  let request = ''
  const onData = (chunk: Buffer) => {
    request += chunk.toString('latin1')
    if (request.length > MAX_REQUEST_BYTES) return void socket.destroy()
    if (!request.includes('\n')) return
    socket.off('data', onData)
    if (request !== STATUS_REQUEST) return void socket.end('{"error":"unknown request"}\n')
    status().then(
      (value) => socket.end(JSON.stringify(value) + '\n'),
      () => socket.end('{"error":"no status"}\n'),
    )
  }
  socket.on('data', onData)
}

/** Asks a daemon. undefined when it does not answer in time, or with something else. */
export function requestStatus(path: string, timeoutMs: number): Promise<MountStatus | undefined> {
  return new Promise((resolve) => {
    let text = ''
    const socket = connect(path)
    const finish = (value: MountStatus | undefined) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(value)
    }
    const timer = setTimeout(() => finish(undefined), timeoutMs)
    socket.setEncoding('utf8')
    socket.on('connect', () => socket.write(STATUS_REQUEST))
    socket.on('error', () => finish(undefined))
    socket.on('data', (chunk: string) => {
      text += chunk
      if (text.length > MAX_ANSWER_BYTES) finish(undefined)
    })
    socket.on('end', () => finish(parseAnswer(text)))
  })
}

function parseAnswer(text: string): MountStatus | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isMountStatus(value) ? value : undefined
  } catch {
    return undefined
  }
}

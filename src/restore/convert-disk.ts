import { spawn } from 'node:child_process'
import { escapeText } from '../bytes/names.js'
import { AbortedError, TargetError } from '../errors/errors.js'
import type { UnfinishedFile } from './write-disk-file.js'

/** What of the messages of the program is kept. */
const MAX_MESSAGE = 2000

/** Number of the descriptor of the folder in the program. */
const FOLDER_FD = 3

const PROGRESS = /\((\d+(?:\.\d+)?)\/100%\)/g

export interface ConvertOptions {
  readonly signal: AbortSignal
  /** For errors, safe to print. */
  readonly path: string
  /** 0 to 1. */
  readonly onProgress: (share: number) => void
}

/** Writes what an NBD server offers at `uri` as qcow2, with qemu-img. TargetError when there is no such program, or it fails. */
export async function convertToQcow2(uri: string, { folderFd, name }: UnfinishedFile, { signal, path, onProgress }: ConvertOptions): Promise<void> {
  const target = `/proc/self/fd/${FOLDER_FD}/${name.toString()}`
  const child = spawn('qemu-img', ['convert', '-p', '-f', 'raw', '-O', 'qcow2', uri, target], {
    stdio: ['ignore', 'pipe', 'pipe', folderFd],
    env: { ...process.env, LC_ALL: 'C' },
  })
  const end = (): void => void child.kill('SIGTERM')
  signal.addEventListener('abort', end)
  let message = ''
  child.stdout!.on('data', (bytes: Buffer) => {
    const last = [...bytes.toString('latin1').matchAll(PROGRESS)].at(-1)
    if (last !== undefined) onProgress(Number(last[1]) / 100)
  })
  child.stderr!.on('data', (bytes: Buffer) => (message = (message + bytes.toString()).slice(-MAX_MESSAGE)))
  try {
    if (signal.aborted) end()
    const ended = await new Promise<string>((resolve, reject) => {
      child.on('error', (error) => reject(startError(error)))
      child.on('close', (code, by) => resolve(code === 0 ? '' : by === null ? `ended with ${code}` : `was ended by ${by}`))
    })
    if (signal.aborted) throw new AbortedError('interrupted')
    if (ended === '') return
    const said = escapeText(message.replaceAll(target, path).trim().replaceAll('\n', '; '))
    throw new TargetError(`${path}: qemu-img ${ended}${said === '' ? '' : `: ${said}`}`, { path, operation: 'convert' })
  } finally {
    signal.removeEventListener('abort', end)
  }
}

function startError(error: NodeJS.ErrnoException): TargetError {
  if (error.code !== 'ENOENT') return new TargetError(`qemu-img cannot be started (${error.code ?? error.message})`, { operation: 'start' }, { cause: error })
  return new TargetError('qcow2 is written by qemu-img, which is not installed', {
    operation: 'start',
    remedy: 'Install it (Debian: apt install qemu-utils), or write a raw disk: --format raw.',
  })
}

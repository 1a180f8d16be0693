import { spawn } from 'node:child_process'
import { closeSync, readlinkSync } from 'node:fs'
import { isUtf8 } from 'node:buffer'
import { escapeName } from '../bytes/names.js'
import { MountError } from '../errors/errors.js'
import { errnoName, libc, MSG_CMSG_CLOEXEC, MSG_DONTWAIT, openSocketPair, systemError } from './libc.js'

/** How a helper program ended. */
export interface HelperResult {
  readonly code: number
  readonly stderr: string
}

/** Descriptor number under which fusermount3 finds its end of the socket pair. */
const COMM_FD = 3

/**
 * Mounts through fusermount3, as an ordinary user, and returns the device. `options` is its `-o`
 * string. MountError with what it said and a remedy.
 */
export async function mountByHelper(mountpoint: Uint8Array, options: string): Promise<number> {
  const [childEnd, ourEnd] = openSocketPair()
  try {
    let result: HelperResult
    try {
      result = await runFusermount(['-o', options], mountpoint, childEnd)
    } finally {
      libc().close(childEnd)
    }
    const fd = result.code === 0 ? receiveDescriptor(ourEnd) : -1
    if (fd < 0) throw explainFailure(mountpoint, result.stderr)
    const target = readlinkSync(`/proc/self/fd/${fd}`)
    if (!target.endsWith('/fuse')) {
      closeSync(fd)
      throw new MountError(`fusermount3 handed over ${target} instead of /dev/fuse.`)
    }
    return fd
  } finally {
    libc().close(ourEnd)
  }
}

/** Unmounts as the owner of a mount. */
export function unmountByHelper(mountpoint: Uint8Array, lazy: boolean): Promise<HelperResult> {
  return runFusermount(lazy ? ['-u', '-z'] : ['-u'], mountpoint)
}

/** Never waited for synchronously: a helper may look at a mount that this process serves. */
function runFusermount(args: readonly string[], path: Uint8Array, commFd?: number): Promise<HelperResult> {
  const env = { ...process.env, LC_ALL: 'C', _FUSE_COMMFD: String(COMM_FD) }
  return runWithPath('fusermount3', [...args, '--'], path, { env, extraFd: commFd }).catch((error: unknown) => {
    if ((error as { code?: unknown }).code !== 'ENOENT') throw error
    const remedy = 'install the package fuse3, or mount as root'
    throw new MountError(`The program fusermount3 is missing; an ordinary user cannot mount without it. Please ${remedy}.`, { remedy })
  })
}

export interface HelperOptions {
  readonly env?: NodeJS.ProcessEnv
  /** Becomes descriptor 3. */
  readonly extraFd?: number | undefined
  /** Milliseconds after which the program is killed; rejects with a TimeoutError-like `code` ETIMEDOUT. */
  readonly timeoutMs?: number
}

/**
 * Runs a program with a path of any bytes as its last argument. Node passes arguments as UTF-8
 * only; other paths go through a shell that puts the bytes together.
 */
export function runWithPath(
  program: string,
  args: readonly string[],
  path: Uint8Array,
  options: HelperOptions = {},
): Promise<HelperResult> {
  const env = options.env ?? { ...process.env, LC_ALL: 'C' }
  const octal = (): string => Array.from(path, (byte) => `\\0${byte.toString(8).padStart(3, '0')}`).join('')
  const [command, words] = isUtf8(path)
    ? [program, [...args, Buffer.from(path).toString()]]
    : ['/bin/sh', ['-c', 'p=$(printf %bx "$1"); shift; exec "$@" "${p%x}"', 'sh', octal(), program, ...args]]
  return new Promise((resolve, reject) => {
    const extra = options.extraFd === undefined ? [] : [options.extraFd]
    const child = spawn(command, words, { stdio: ['ignore', 'ignore', 'pipe', ...extra], env, cwd: '/' })
    const chunks: Buffer[] = []
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            // A child in uninterruptible sleep does not die of this: nobody waits for it.
            child.kill('SIGKILL')
            child.unref()
            child.stderr?.destroy()
            reject(Object.assign(new Error(`${program} did not end`), { code: 'ETIMEDOUT' }))
          }, options.timeoutMs)
    child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve({ code: code ?? -1, stderr: Buffer.concat(chunks).toString('utf8').trim() })
    })
  })
}

/** Parts of the one off-heap page that recvmsg works on; pointers inside it must not go stale. */
const PAGE = { data: 0, iovec: 64, msghdr: 128, control: 256, size: 4096 } as const
const CONTROL_SIZE = 24
const CMSG_LENGTH = 20
const SOL_SOCKET = 1
const SCM_RIGHTS = 1

/** Receives the descriptor that waits in `socket`; -1 when none was sent. */
export function receiveDescriptor(socket: number): number {
  const page = Buffer.allocUnsafeSlow(PAGE.size).fill(0)
  const base = libc().addressOf(page)
  page.writeBigUInt64LE(base + BigInt(PAGE.data), PAGE.iovec)
  page.writeBigUInt64LE(1n, PAGE.iovec + 8)
  page.writeBigUInt64LE(base + BigInt(PAGE.iovec), PAGE.msghdr + 16)
  page.writeBigUInt64LE(1n, PAGE.msghdr + 24)
  page.writeBigUInt64LE(base + BigInt(PAGE.control), PAGE.msghdr + 32)
  page.writeBigUInt64LE(BigInt(CONTROL_SIZE), PAGE.msghdr + 40)
  const received = libc().recvmsg(socket, base + BigInt(PAGE.msghdr), MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
  if (received < 0 && errnoName(received) !== 'EAGAIN') throw systemError('recvmsg', received, 'the socket of fusermount3')
  const isRights =
    received === 1 &&
    page.readBigUInt64LE(PAGE.control) === BigInt(CMSG_LENGTH) &&
    page.readInt32LE(PAGE.control + 8) === SOL_SOCKET &&
    page.readInt32LE(PAGE.control + 12) === SCM_RIGHTS
  return isRights ? page.readInt32LE(PAGE.control + 16) : -1
}

function explainFailure(mountpoint: Uint8Array, said: string): MountError {
  const path = escapeName(mountpoint)
  const remedy = remedyForFusermount(said)
  const reason = said === '' ? 'fusermount3 sent no device' : said.replace(/\s*\n\s*/g, '; ')
  return new MountError(`Cannot mount on ${path}: ${reason}.${remedy === undefined ? '' : ` Please ${remedy}.`}`, { path, remedy })
}

/** What to do about a complaint of fusermount3 (or fusermount), as a part of a sentence. */
export function remedyForFusermount(said: string): string | undefined {
  if (said.includes('user_allow_other')) return 'ask the administrator for a line "user_allow_other" in /etc/fuse.conf, or leave out allow_other'
  if (said.includes('fuse device not found')) return 'load the module with "modprobe fuse", or give the container --device /dev/fuse'
  if (/\/dev\/fuse: Permission denied/.test(said)) return 'ask the administrator for "chmod 666 /dev/fuse"'
  if (/no write access|not owned/.test(said)) return 'choose a directory of your own'
  if (said.includes('too many FUSE')) return 'unmount something, or raise mount_max in /etc/fuse.conf'
  if (/Operation not permitted/.test(said)) return 'run it where mounting is allowed (in a container: CAP_SYS_ADMIN and --device /dev/fuse; fusermount3 must be set-uid root)'
  return undefined
}

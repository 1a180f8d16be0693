import { spawn } from 'node:child_process'

/** A program that takes longer hangs: it is ended, and the test fails. */
const TIMEOUT_MS = 55_000

export interface RunOptions {
  /** Become this user (and the group of the same number); only root can. */
  readonly uid?: number | undefined
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly timeoutMs?: number
}

export interface Finished {
  /** Exit code; 128 + number for a signal, as a shell counts. */
  readonly code: number
  /** Bytes as latin1, so that any name survives. */
  readonly out: string
  readonly err: string
}

/**
 * Runs a program to its end, whatever that is. Arguments that are Buffers are passed byte by byte.
 * Never synchronous: the test process must go on answering.
 */
export async function runProgram(program: string, args: readonly (string | Buffer)[], options: RunOptions = {}): Promise<Finished> {
  const [file, list] = commandLine(program, args)
  const child = spawn(file, list, {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: 'C', ...options.env },
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    timeout: options.timeoutMs ?? TIMEOUT_MS,
    killSignal: 'SIGKILL',
  })
  let out = ''
  let err = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString('latin1')))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString('latin1')))
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (number, signal) => resolve(number ?? (signal === 'SIGKILL' ? 137 : 128)))
  })
  return { code, out, err }
}

/** Standard output of a program that must end with 0. */
export async function runOk(program: string, args: readonly (string | Buffer)[], options: RunOptions = {}): Promise<string> {
  const { code, out, err } = await runProgram(program, args, options)
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${err.slice(-2000)}${out.slice(-2000)}`)
  return out
}

/** Standard output of a shell line (bash, so that `$'\xNN'` writes a byte) that must end with 0. */
export function sh(line: string, options: RunOptions = {}): Promise<string> {
  return runOk('/bin/bash', ['-c', line], options)
}

/** A name as a word of a bash line, byte by byte. */
export function quote(name: string | Buffer): string {
  const bytes = Buffer.from(name)
  let text = "$'"
  for (const byte of bytes) {
    const plain = byte >= 0x20 && byte < 0x7f && byte !== 0x27 && byte !== 0x5c
    text += plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return `${text}'`
}

/** Node passes arguments as UTF-8; for other bytes a shell stands in between and goes away. */
function commandLine(program: string, args: readonly (string | Buffer)[]): [file: string, args: string[]] {
  if (args.every((arg) => typeof arg === 'string')) return [program, [...args]]
  return ['/bin/bash', ['-c', `exec ${[program, ...args].map(quote).join(' ')}`]]
}

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { repoDir } from './golden.js'
import { temporaryFolder } from './temporary-folder.js'

/** A server that takes longer to say that it serves hangs. */
const START_MS = 30_000

export interface NbdProgram {
  /** Of `--socket`; undefined when the arguments say where it listens. */
  readonly socket: string
  /** URIs by export. */
  readonly uris: ReadonlyMap<string, string>
  readonly child: ChildProcess
  /** What it wrote to stderr so far. */
  err(): string
  uri(name: string): string
  /** Sends the signal; resolves with the exit code, or the signal that ended it. */
  end(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals | null>
}

/** Starts `pbsfs nbd`, each in its turn, and ends them with the tests of the file. Rejects with what it said when it does not serve. */
export function nbdPrograms(): (args: readonly string[], env?: NodeJS.ProcessEnv) => Promise<NbdProgram> {
  const folder = temporaryFolder()
  const children: ChildProcess[] = []
  afterAll(async () => {
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill('SIGKILL')
      await once(child, 'close')
    }
  })
  return async (args, env = {}) => {
    const socket = join(folder, `${children.length}.sock`)
    const where = args.some((arg) => arg === '--socket' || arg === '--listen' || arg === '--own-socket') ? [] : ['--socket', socket]
    const list = ['nbd', ...args.filter((arg) => arg !== '--own-socket'), ...where]
    const child = spawn(process.execPath, [join(repoDir, 'bin/pbsfs.js'), ...list], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    children.push(child)
    let out = ''
    let err = ''
    const closed = once(child, 'close')
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`nbd does not serve: ${err}`)), START_MS)
      // The line on stderr is written last, and may all the same be read before the lines on stdout.
      const look = (): void => {
        const serving = /^serving (?:one|(\d+)) exports?, /m.exec(err)
        if (serving !== null && out.split('\n').length > Number(serving[1] ?? 1)) resolve(clearTimeout(timer))
      }
      child.stdout.on('data', (bytes: Buffer) => {
        out += bytes.toString()
        look()
      })
      child.stderr.on('data', (bytes: Buffer) => {
        err += bytes.toString()
        look()
      })
      void closed.then(() => reject(new Error(`nbd ended with ${child.exitCode}: ${err}`)))
    })
    const uris = new Map(out.trim().split('\n').map((line) => line.split(/ {2,}/) as [string, string])) // prettier-ignore
    return {
      socket,
      uris,
      child,
      err: () => err,
      uri: (name) => uris.get(name)!,
      end: async (signal = 'SIGTERM') => {
        child.kill(signal)
        await closed
        return child.exitCode ?? child.signalCode
      },
    }
  }
}

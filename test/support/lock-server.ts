import { spawn, type ChildProcess } from 'node:child_process'
import { chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { repoDir } from './golden.js'

/** Configuration and runtime folder of a server, and a process that takes locks as that server does. */
export class LockServer {
  readonly configDir: string
  readonly runtimeDir: string
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string, undefined>
  readonly #lines: Interface

  /** `stores`: folder by name. `owner`: of the runtime folder, as uid and gid; absent: this user. */
  constructor(folder: string, stores: Readonly<Record<string, string>>, owner?: number) {
    this.configDir = join(folder, 'etc')
    this.runtimeDir = join(folder, 'run-server')
    mkdirSync(this.configDir, { recursive: true })
    mkdirSync(this.runtimeDir, { recursive: true })
    if (owner !== undefined) chownSync(this.runtimeDir, owner, owner)
    const sections = Object.entries(stores).map(([name, path]) => `datastore: ${name}\n\tpath ${path}\n`)
    writeFileSync(join(this.configDir, 'datastore.cfg'), sections.join('\n'))
    this.#child = spawn('python3', [join(repoDir, 'test/support/lock-server.py')], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.#child.stdout! })
    this.#answers = this.#lines[Symbol.asyncIterator]()
  }

  /** Path of a lock file, `parts` below the folder of the store. */
  lockFile(store: string, ...parts: string[]): string {
    return join(this.runtimeDir, 'locks', store, ...parts)
  }

  /** Exclusive, kept until `release`. */
  hold(path: string): Promise<string> {
    return this.#ask(`hold ${path}`)
  }

  share(path: string): Promise<string> {
    return this.#ask(`share ${path}`)
  }

  /** Whether an exclusive lock could be had now; keeps none. */
  async isFree(path: string): Promise<boolean> {
    const answer = await this.hold(path)
    if (answer === 'held') await this.release()
    return answer === 'held'
  }

  release(): Promise<string> {
    return this.#ask('release')
  }

  close(): void {
    this.#lines.close()
    this.#child.kill('SIGKILL')
  }

  async #ask(command: string): Promise<string> {
    this.#child.stdin!.write(`${command}\n`)
    const answer: IteratorResult<string, undefined> = await this.#answers.next()
    if (answer.done === true) throw new Error('the process that plays the server has ended')
    return answer.value
  }
}

import { KeyError } from '../../errors/errors.js'
import { MIN_PASSWORD_SIZE } from '../../keys/unlock-key.js'
import { ENCRYPTION_PASSWORD, MASTER_KEY_PASSWORD, readCredential, readVariable } from './password-sources.js'
import type { AskPassword } from './terminal.js'

/** How often a wrong answer on the terminal is forgiven. */
const ATTEMPTS = 3

/** Something a password opens. */
export interface Locked<T> {
  /** For the prompt and messages. */
  readonly name: string
  readonly kind: 'key' | 'master key'
  /** undefined: wrong password. */
  open(password: Uint8Array): T | undefined
  /** The sentence for a wrong one. */
  wrong(): KeyError
  /** An empty answer on the terminal means: go on without it. */
  readonly optional: boolean
}

/** The passwords of one command line: from the environment, or typed in, each asked for once. */
export class Passwords {
  readonly #env: NodeJS.ProcessEnv
  readonly #ask: AskPassword
  readonly #tell: (text: string) => void
  readonly #given = new Map<string, Buffer | undefined>()
  readonly #typed: Buffer[] = []

  /** `tell` gets the remark that an answer was wrong. */
  constructor(env: NodeJS.ProcessEnv, ask: AskPassword, tell: (text: string) => void) {
    this.#env = env
    this.#ask = ask
    this.#tell = tell
  }

  /** Opens it with the password that was given for it, or asks. undefined: the user goes on without it. */
  async unlock<T>(locked: Locked<T>): Promise<T | undefined> {
    const given = this.#fromEnvironment(locked.kind)
    if (given !== undefined) {
      if (given.length < MIN_PASSWORD_SIZE && locked.kind === 'key') throw tooShort(locked.name)
      const opened = locked.open(given)
      if (opened === undefined) throw locked.wrong()
      return opened
    }
    for (const password of this.#typed) {
      const opened = locked.open(password)
      if (opened !== undefined) return opened
    }
    return this.#askFor(locked)
  }

  /** Forgets them all. */
  clear(): void {
    for (const password of [...this.#typed, ...this.#given.values()]) password?.fill(0)
    this.#typed.length = 0
    this.#given.clear()
  }

  async #askFor<T>(locked: Locked<T>): Promise<T | undefined> {
    const hint = locked.optional ? ' (empty: go on without it)' : ''
    for (let attempt = 1; ; attempt++) {
      const password = await this.#ask(`Password of the ${locked.kind} ${locked.name}${hint}: `)
      if (password === undefined) throw this.#unasked(locked)
      if (password.length === 0 && locked.optional) return undefined
      const opened = locked.open(password)
      if (opened !== undefined) {
        this.#typed.push(password)
        return opened
      }
      password.fill(0)
      if (attempt === ATTEMPTS) throw locked.wrong()
      this.#tell(`${locked.wrong().message}; once more\n`)
    }
  }

  #unasked({ name, kind }: Pick<Locked<unknown>, 'name' | 'kind'>): KeyError {
    const variable = kind === 'key' ? ENCRYPTION_PASSWORD : MASTER_KEY_PASSWORD
    return new KeyError(`${name}: the ${kind} needs its password, and there is no terminal to ask on`, {
      path: name,
      remedy: `Give it with ${variable}, ${variable}_FD, ${variable}_FILE or ${variable}_CMD.`,
    })
  }

  #fromEnvironment(kind: Locked<unknown>['kind']): Buffer | undefined {
    const known = this.#given.has(kind)
    if (!known) this.#given.set(kind, this.#read(kind))
    return this.#given.get(kind)
  }

  #read(kind: Locked<unknown>['kind']): Buffer | undefined {
    const own = kind === 'key' ? undefined : readVariable(MASTER_KEY_PASSWORD, this.#env)
    return own ?? readVariable(ENCRYPTION_PASSWORD, this.#env) ?? readCredential(this.#env)
  }
}

function tooShort(name: string): KeyError {
  return new KeyError(`${name}: the password that was given is too short, every key has one of ${MIN_PASSWORD_SIZE} or more`, { path: name })
}

import { readFileSync } from 'node:fs'
import { UsageError } from '../errors/errors.js'
import type { CommandOption } from './reference/describe-command.js'
import { bytesToArg } from './raw-args.js'
import { nearestWord } from './suggest.js'

const PREFIX = 'PBSFS_'

/** Options that may be given several times: their variables hold one value a line. */
export const REPEATABLE: ReadonlySet<string> = new Set([
  'exclude', 'fallback', 'iname', 'keyfile', 'master-keyfile', 'name', 'options', 'path', 'pattern', 'size', 'type',
]) // prettier-ignore

/** Variables that stand for no option. */
export const OTHER_VARIABLES: readonly { readonly names: readonly string[]; readonly text: string }[] = [
  {
    names: ['PBS_REPOSITORY'],
    text: 'The store in which a SOURCE like host/web/latest is looked for when no such path exists: its path, its name on this host, or a repository whose host is this one. Also with _FD, _FILE, _CMD',
  },
  { names: ['PBS_ENCRYPTION_PASSWORD', 'PBSFS_MASTER_KEY_PASSWORD'], text: 'Passwords, see Keys. Also with _FD, _FILE, _CMD' },
  { names: ['CREDENTIALS_DIRECTORY'], text: 'Where systemd puts the password of a key' },
  { names: ['XDG_CONFIG_HOME', 'XDG_CONFIG_DIRS'], text: 'Where the default key is looked for' },
  { names: ['XDG_RUNTIME_DIR'], text: 'Where the runtime folder of an ordinary user is' },
  { names: ['NO_COLOR', 'TERM'], text: 'No colours when NO_COLOR is set, or TERM is dumb' },
  { names: ['UV_THREADPOOL_SIZE'], text: 'Threads for file access of a daemon; 8 when not set' },
]

/** Options that say which store a SOURCE is in: their variables count only where SOURCE is such a place (`source-text.ts`). */
const PLACE_OPTIONS = new Set(['repository', 'ns'])

/** A variable gives way to these options on the line, too. */
const GIVES_WAY: Readonly<Record<string, readonly string[]>> = {
  'no-lock': ['require-lock'],
  'require-lock': ['no-lock'],
  'log-level': ['verbose', 'debug'],
}

/** The variable of an option: `cache-size` is PBSFS_CACHE_SIZE. */
export function variableOf(option: string): string {
  return PREFIX + option.toUpperCase().replaceAll('-', '_')
}

/** Whether the environment may change what a command line means. */
export function hasVariables(env: NodeJS.ProcessEnv): boolean {
  return Object.keys(env).some((name) => name.startsWith(PREFIX))
}

/** The variables of options. */
export function variablesOf(options: readonly CommandOption[]): Set<string> {
  return new Set(options.map(({ name }) => variableOf(name)))
}

/** Variables PBSFS_* that mean nothing, each with the known one that it is nearest to. */
export function unknownVariables(env: NodeJS.ProcessEnv, known: ReadonlySet<string>): { name: string; nearest: string | undefined }[] {
  const secret = OTHER_VARIABLES.flatMap(({ names }) => names).filter((name) => name.startsWith(PREFIX))
  const all = [...known, ...secret.flatMap((name) => [name, ...['_FD', '_FILE', '_CMD'].map((form) => name + form)])]
  const strange = Object.keys(env).filter((name) => name.startsWith(PREFIX) && !all.includes(name))
  return strange.sort().map((name) => ({ name, nearest: nearestWord(name, all) }))
}

/** Values of options, by their names, each with the variable it was read from. */
export type FromEnvironment = ReadonlyMap<string, { readonly value: true | string | readonly string[]; readonly variable: string }>

/**
 * What the environment gives for the options of a command that are not on its line. An empty
 * variable is none. UsageError names a variable whose value the option does not take.
 */
export function readEnvironment(options: readonly CommandOption[], given: Readonly<Record<string, unknown>>, env: NodeJS.ProcessEnv): FromEnvironment {
  const found = new Map<string, { value: true | string | readonly string[]; variable: string }>()
  for (const option of options) {
    const variable = variableOf(option.name)
    const text = env[variable]
    if (text === undefined || text === '' || PLACE_OPTIONS.has(option.name) || isGiven(option.name, given)) continue
    const value = readValue(option, variable, text)
    if (value !== undefined) found.set(option.name, { value, variable })
  }
  return found
}

/** The same error, or with the names of variables in place of the options they stand for. */
export function nameVariables(error: unknown, applied: FromEnvironment): unknown {
  if (!(error instanceof UsageError)) return error
  let { message } = error
  for (const [option, { variable }] of applied) message = message.replaceAll(new RegExp(`--${option}(?![\\w-])`, 'g'), variable)
  return message === error.message ? error : new UsageError(message, error.fields, { cause: error.cause })
}

function isGiven(name: string, given: Readonly<Record<string, unknown>>): boolean {
  if ([name, ...(GIVES_WAY[name] ?? [])].some((option) => given[option] !== undefined)) return true
  // `-o cache-size=1G` is the same option.
  const list = [given['options']].flat().filter((text) => typeof text === 'string').join(',')
  return list.split(',').some((word) => word.split('=')[0]!.trim().replaceAll('_', '-') === name)
}

function readValue(option: CommandOption, variable: string, text: string): true | string | readonly string[] | undefined {
  if (option.isFlag) return readFlag(variable, text)
  const raw = text.includes('\ufffd') ? readRaw(variable) ?? text : text
  if (REPEATABLE.has(option.name)) return raw.split('\n').filter((line) => line !== '')
  if (option.choices !== undefined && !option.choices.includes(raw)) {
    throw new UsageError(`${variable}: "${raw}" is none of ${option.choices.join(', ')}`)
  }
  return raw
}

function readFlag(variable: string, text: string): true | undefined {
  if (/^(?:1|true|yes|on)$/i.test(text)) return true
  if (/^(?:0|false|no|off)$/i.test(text)) return undefined
  throw new UsageError(`${variable}: "${text}" is neither yes nor no; write 1 or 0`)
}

/** A value with bytes that are no UTF-8, which Node has replaced. */
function readRaw(variable: string): string | undefined {
  let all: string
  try {
    all = readFileSync('/proc/self/environ', 'latin1')
  } catch {
    return undefined
  }
  const entry = all.split('\0').find((text) => text.startsWith(`${variable}=`))
  return entry === undefined ? undefined : bytesToArg(Buffer.from(entry.slice(variable.length + 1), 'latin1'))
}

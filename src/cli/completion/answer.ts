import { describeAllCommands } from '../reference/all-commands.js'
import { valueNameOf } from '../reference/value-names.js'
import { defaultRepository } from '../source-text.js'
import { findContext, type Context, type Line } from './find-context.js'
import { bashReply, splitLine, type TypedWord } from './split-line.js'
import { findStore, listPaths, listSelectors, listStoreNames } from './store-places.js'

/** A word that would fit, with a line about it. */
interface Candidate {
  readonly word: string
  readonly text?: string
}

/** `files`, `folders`: the shell knows better what fits. */
type Candidates = readonly Candidate[] | 'files' | 'folders'

/**
 * What the shell function asks for: the first line tells it what to do (`files`, `folders`, `words`, or
 * `open` when a word is not complete without more), then one word a line. For bash each is what
 * readline inserts; for zsh the whole word, a tab, and what it is.
 */
export async function answer(shell: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const bash = shell === 'bash'
  const [breaks, line] = bash ? [args[0] ?? '', args[1] ?? ''] : ['', '']
  const typed: TypedWord[] = bash ? splitLine(line).slice(1) : args.slice(1).map((text) => ({ text, raw: text, quote: '', quoteAt: -1 }))
  const last = typed.at(-1)
  if (last === undefined) return 'words\n'
  const found = await complete(typed.map(({ text }) => text), env)
  if (typeof found === 'string') return `${found}\n`
  const fitting = found.filter(({ word }) => word.startsWith(last.text))
  const isOpen = fitting.some(({ word }) => /[/:=]$/.test(word))
  const lines = fitting.flatMap(({ word, text }) => {
    const reply = bash ? bashReply(word, last, breaks) : `${word}\t${text ?? ''}`
    return reply === undefined || reply.includes('\n') ? [] : [reply]
  })
  return [isOpen ? 'open' : 'words', ...lines].map((one) => `${one}\n`).join('')
}

async function complete(words: readonly string[], env: NodeJS.ProcessEnv): Promise<Candidates> {
  const commands = describeAllCommands()
  const context = findContext(words, commands)
  const typed = words.at(-1)!
  switch (context.kind) {
    case 'command':
      return [...commands.map(({ name, text }) => ({ word: name, text })), { word: '--help' }, { word: '--version' }]
    case 'option':
      return listOptions(context, typed)
    case 'value':
      return completeValue(context, typed)
    case 'operand':
      return completeOperand(context.name, context.line, typed, env)
    case 'nothing':
      return []
  }
}

function listOptions({ command, given }: Extract<Context, { kind: 'option' }>, typed: string): Candidate[] {
  // find(1) has its words behind one dash.
  const dash = command.name === 'find' && /^-[a-z]/.test(typed) ? '-' : '--'
  const options = command.options.filter(({ name, text }) => !given.has(name) || text.includes('may be repeated'))
  return [...options.map(({ name, text }) => ({ word: dash + name, text })), { word: `${dash}help` }]
}

function completeValue({ option, prefix }: Extract<Context, { kind: 'value' }>, typed: string): Candidates {
  if (option.choices !== undefined) return option.choices.map((choice) => ({ word: prefix + choice }))
  switch (valueNameOf(option)) {
    case 'STORE':
      return [...listStoreNames(), ...listPaths(typed.slice(prefix.length)).map((path) => path.replace(/::$/, ''))].map((word) => ({ word: prefix + word }))
    case 'FILE':
    case 'FILE|DATE':
      return 'files'
    case 'FOLDER':
      return 'folders'
    default:
      return []
  }
}

async function completeOperand(name: string, line: Line, typed: string, env: NodeJS.ProcessEnv): Promise<Candidates> {
  switch (name) {
    case 'source':
    case 'sources':
    case 'other':
      return toCandidates(await listSources(line, typed, env))
    case 'path':
    case 'paths':
    case 'start':
      return toCandidates(await listBelowSource(line, typed, env))
    case 'mountpoint':
      if (line.command.name === 'mount') return 'folders'
      return toCandidates(await listMountpoints())
    case 'device':
      return toCandidates(await listDevices())
    case 'image':
      return toCandidates(await listImages(line, typed, env))
    case 'action':
      return toCandidates(listActions(line))
    case 'operands':
      return completeFurther(line, typed, env)
    case 'shell':
      return [{ word: 'bash' }, { word: 'zsh' }]
    case 'file':
    case 'qemu-arguments':
      return 'files'
    default:
      return 'folders'
  }
}

/** What stands behind the action of `access` and of `overlay`. */
async function completeFurther({ command, operands, ...rest }: Line, typed: string, env: NodeJS.ProcessEnv): Promise<Candidates> {
  const sourceAt = { setup: 2, commit: 2 }[operands[0] ?? '']
  if (operands.length === sourceAt) return toCandidates(await listSources({ command, operands, ...rest }, typed, env))
  if (command.name === 'overlay') return 'files'
  return operands.length === 1 ? toCandidates(await listTargets(rest.options, env)) : []
}

/** What `access` remembers something of; DISKs of it are not looked for. */
async function listTargets(options: Line['options'], env: NodeJS.ProcessEnv): Promise<string[]> {
  const [{ StateFiles }, { stateEnvironment, stateFolder }] = await Promise.all([import('../../access/state-files.js'), import('../../access/state-folder.js')])
  const { states } = new StateFiles(stateFolder(options.get('state-dir')?.at(-1), stateEnvironment(env))).list()
  return [...new Set(states.map(({ target }) => target))]
}

/** Second words of the forms of a command: `setup` of `pbsfs access setup ...`. */
function listActions({ command }: Line): string[] {
  return [...new Set(command.usage.map((form) => form.split(' ')[2] ?? '').filter((word) => /^[a-z]+$/.test(word)))]
}

function toCandidates(words: readonly string[]): Candidate[] {
  return words.map((word) => ({ word }))
}

async function listSources(line: Line, typed: string, env: NodeJS.ProcessEnv): Promise<string[]> {
  const at = typed.indexOf('::')
  if (at < 0) {
    const repository = line.options.get('repository')?.at(-1)
    const store = repository ?? defaultRepository(env)
    const places = store === undefined || /^[/.~]/.test(typed) ? [] : await listPlaces(store, '', typed, line, env)
    return repository !== undefined ? places : [...places, ...listStoreNames().map((name) => `${name}::`), ...listPaths(typed)]
  }
  const store = typed.slice(0, at)
  return (await listPlaces(store, '', typed.slice(at + 2), line, env)).map((selector) => `${store}::${selector}`)
}

/** Selectors that continue `typed`, also inside an archive. */
async function listPlaces(store: string, below: string, typed: string, line: Line, env: NodeJS.ProcessEnv): Promise<string[]> {
  const path = findStore(store)
  if (path === undefined) return []
  const inside = /^((?:ns\/[^/]+\/)*(?:host|vm|ct)\/[^/]+\/[^/]+\/[^/:]+):(.*)$/s.exec(below + typed)
  if (inside === null) return (await listSelectors(path, below + typed)).map((selector) => selector.slice(below.length))
  const [, archive, rest] = inside as unknown as [string, string, string]
  const { listInside } = await import('./archive-names.js')
  const names = await listInside(`${path.replaceAll('::', '\\x3a\\x3a')}::${archive}`, rest, line.options.get('keyfile') ?? [], env)
  return names.map((name) => `${archive}:${name}`)
}

/** A path below the SOURCE that stands before. */
async function listBelowSource(line: Line, typed: string, env: NodeJS.ProcessEnv): Promise<string[]> {
  const [source] = line.operands
  if (source === undefined) return []
  const { storeSourceText } = await import('../source-text.js')
  const place = { repository: line.options.get('repository')?.at(-1), ns: line.options.get('ns')?.at(-1) }
  const { bytesToArg } = await import('../raw-args.js')
  const { listInside } = await import('./archive-names.js')
  return listInside(bytesToArg(storeSourceText(source, place, env)), typed, line.options.get('keyfile') ?? [], env)
}

/** IMAGE behind SNAPSHOT. */
async function listImages(line: Line, typed: string, env: NodeJS.ProcessEnv): Promise<string[]> {
  const store = line.options.get('repository')?.at(-1) ?? defaultRepository(env)
  const path = store === undefined ? undefined : findStore(store)
  if (path === undefined) return []
  const snapshot = `${line.operands[0]!.replace(/\/+$/, '')}/`
  const names = await listSelectors(path, snapshot + typed)
  return names.map((name) => name.slice(snapshot.length)).filter((name) => name.endsWith('.img'))
}

async function listMountpoints(): Promise<string[]> {
  const { findMounts } = await import('../../fuse/mountinfo.js')
  return findMounts().map(({ mountpoint }) => mountpoint.toString())
}

async function listDevices(): Promise<string[]> {
  const [{ readdirSync, readFileSync }, { findRuntimeFolder }] = await Promise.all([import('node:fs'), import('../../daemon/runtime-folder.js')])
  const folder = findRuntimeFolder()
  const records = folder === undefined ? [] : readdirSync(folder).filter((name) => /^map-\d+\.json$/.test(name))
  return records.map((name) => `/dev/loop${(JSON.parse(readFileSync(`${folder}/${name}`, 'utf8')) as { number: number }).number}`)
}

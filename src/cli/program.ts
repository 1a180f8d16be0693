import yargs, { type ArgumentsCamelCase, type Argv, type CommandModule } from 'yargs'
import { UsageError } from '../errors/errors.js'
import { COMMANDS } from './commands/commands.js'
import { FIND_FLAGS, FIND_WORDS } from './commands/find.js'
import type { Action } from './context.js'
import { hasVariables, nameVariables, readEnvironment, type FromEnvironment } from './environment.js'
import { doubleDashes, protectOperands } from './raw-args.js'
import { describeCommand } from './reference/describe-command.js'
import { nearestWord } from './suggest.js'

const MAX_WIDTH = 110

/** What a command line asks for. */
export type Parsed = { readonly action: Action; readonly json: boolean } | { readonly help: string }

/** Ends the parser once a command is chosen: it would go on to make the text of --help, which takes longer than all before. */
class Chosen extends Error {
  readonly argv: ArgumentsCamelCase

  constructor(argv: ArgumentsCamelCase) {
    super('a command was chosen')
    this.argv = argv
  }
}

/** The parser with all commands. `choose` gets the work of the command that was named, `enter` its definition before that. */
export function buildProgram(version: string, choose: (action: Action) => void, columns?: number, enter: (command: CommandModule) => void = () => undefined): Argv {
  const program = yargs()
    .scriptName('pbsfs')
    .usage('pbsfs COMMAND\n\nMounts Proxmox Backup Server datastores as ordinary read-only files.')
    // Messages are ours: English, so that they can be searched for.
    .detectLocale(false)
    .parserConfiguration({ 'parse-numbers': false, 'parse-positional-numbers': false, 'boolean-negation': false })
    .version(version)
    .alias('version', 'V')
    .help()
    .alias('help', 'h')
    .strict()
    .recommendCommands()
    .demandCommand(1, 1, 'no command is given')
    .exitProcess(false)
    .wrap(Math.min(columns ?? MAX_WIDTH, MAX_WIDTH))
    .example('pbsfs mount /mnt/datastore/main ~/pbs', 'Browse a whole datastore')
    .example('pbsfs umount ~/pbs', 'End the mount')
  for (const define of COMMANDS) {
    const command = define(choose)
    const { builder } = command
    const entered = (parser: Argv): Argv => {
      enter(command)
      return typeof builder === 'function' ? (builder(parser) as Argv) : parser
    }
    const handler = (argv: ArgumentsCamelCase): never => {
      void command.handler(argv)
      throw new Chosen(argv)
    }
    program.command({ ...command, builder: entered, handler })
  }
  return program
}

/** Reads a command line and the variables of its options. UsageError when one cannot be understood. */
export async function parseCommandLine(given: readonly string[], version: string, columns?: number, env: NodeJS.ProcessEnv = {}): Promise<Parsed> {
  const args = given[0] === 'find' ? doubleDashes(given, FIND_WORDS, FIND_FLAGS) : given
  if (given[0] === 'find') refuseUnknownWords(args)
  let chosen: Action | undefined
  let help = ''
  let json = false
  let applied: FromEnvironment = new Map()
  let command: CommandModule | undefined
  const program = buildProgram(version, (action) => (chosen = action), columns, (entered) => (command = entered))
  // Before the checks of the parser: a value from the environment is one of the line from here on.
  program.middleware((argv: Record<string, unknown>) => {
    if (command === undefined || !hasVariables(env)) return
    applied = readEnvironment(describeCommand(command).options, argv, env)
    for (const [name, { value }] of applied) {
      for (const spelled of [name, camelCase(name)]) argv[spelled] = value
    }
  }, true)
  program.fail((message, error) => {
    throw error instanceof UsageError ? error : new UsageError(explain(message ?? String(error), args, optionNames(program)))
  })
  try {
    await program.parseAsync(protectOperands(args), {}, (error, _argv, output) => {
      if (error != null) throw error
      help = output
    })
  } catch (error) {
    if (!(error instanceof Chosen)) throw nameVariables(error, applied)
    json = error.argv['json'] === true
  }
  if (chosen === undefined) return { help: help + '\n' }
  const action = chosen
  return {
    json,
    action: (context) =>
      action(context).catch((error: unknown) => {
        throw nameVariables(error, applied)
      }),
  }
}

function camelCase(name: string): string {
  return name.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
}

/** All options of the command a parser is at, long and short; its types leave the method out. */
export function optionNames(program: Argv): string[] {
  const state = program as unknown as { getOptions(): { readonly key: Readonly<Record<string, unknown>> } }
  return Object.keys(state.getOptions().key)
}

/** The parser's complaint in our words. */
function explain(message: string, args: readonly string[], options: readonly string[]): string {
  const unknown = /^Unknown (?:arguments?|commands?): (.*)$/s.exec(message)?.[1]?.split(', ')[0]
  if (unknown !== undefined) return explainUnknown(unknown, args, options)
  if (message.startsWith('Not enough arguments following')) return message.replace(/.*: /s, 'a value is missing for --')
  if (message.startsWith('Not enough non-option arguments')) {
    // A mistyped option may have taken it for its value.
    const mistyped = args.map((arg) => /^--([^=]+)/.exec(arg)?.[1]).find((name) => name !== undefined && !options.includes(name))
    return mistyped === undefined ? 'an argument is missing' : explainUnknown(mistyped, args, options)
  }
  const value = /^Invalid values:\s+Argument: (\S+), Given: (.*), Choices: (.*)$/s.exec(message)
  if (value !== null) return `--${value[1]!}: ${value[2]!} is none of ${value[3]!.replaceAll('"', '')}`
  const suggestion = /^Did you mean (.*)\?$/.exec(message)?.[1]
  return suggestion === undefined ? message.trim() : `no command "${args[0]}"; did you mean "${suggestion}"?`
}

/** Words of find(1) that ours has not are no clusters of letters, of which one may mean something else: `-maxdepth` has an h. */
function refuseUnknownWords(args: readonly string[]): void {
  const end = args.indexOf('--')
  const word = args.slice(0, end < 0 ? args.length : end).find((arg) => /^-[a-z]{2,}$/i.test(arg))
  if (word === undefined) return
  const nearest = nearestWord(word.slice(1), FIND_WORDS)
  throw new UsageError(`no option ${word}${nearest === undefined ? '' : `; did you mean -${nearest}?`}`)
}

function explainUnknown(unknown: string, args: readonly string[], options: readonly string[]): string {
  const isOption = args.some((arg) => arg.startsWith('-') && arg.includes(unknown))
  if (!isOption) return unknown === args[0] ? `no command "${unknown}"` : `"${unknown}" is one argument too many`
  if (unknown.length === 1) return `no option -${unknown}`
  const nearest = nearestWord(
    unknown,
    options.filter((name) => name.length > 1),
  )
  return `no option --${unknown}${nearest === undefined ? '' : `; did you mean --${nearest}?`}`
}

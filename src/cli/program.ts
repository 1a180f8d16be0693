import yargs, { type Argv } from 'yargs'
import { UsageError } from '../errors/errors.js'
import { COMMANDS } from './commands/commands.js'
import { FIND_FLAGS, FIND_WORDS } from './commands/find.js'
import type { Action } from './context.js'
import { doubleDashes, protectOperands } from './raw-args.js'
import { nearestWord } from './suggest.js'

const MAX_WIDTH = 110

/** What a command line asks for. */
export type Parsed = { readonly action: Action } | { readonly help: string }

/** The parser with all commands. `choose` gets the work of the command that was named. */
export function buildProgram(version: string, choose: (action: Action) => void, columns?: number): Argv {
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
  for (const define of COMMANDS) program.command(define(choose))
  return program
}

/** Reads a command line. UsageError when it cannot be understood. */
export async function parseCommandLine(given: readonly string[], version: string, columns?: number): Promise<Parsed> {
  const args = given[0] === 'find' ? doubleDashes(given, FIND_WORDS, FIND_FLAGS) : given
  let chosen: Action | undefined
  let help = ''
  const program = buildProgram(version, (action) => (chosen = action), columns)
  program.fail((message, error) => {
    throw error instanceof UsageError ? error : new UsageError(explain(message ?? String(error), args, optionNames(program)))
  })
  await program.parseAsync(protectOperands(args), {}, (error, _argv, output) => {
    if (error != null) throw error
    help = output
  })
  return chosen === undefined ? { help: help + '\n' } : { action: chosen }
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
  if (message.startsWith('Not enough non-option arguments')) return 'an argument is missing'
  const suggestion = /^Did you mean (.*)\?$/.exec(message)?.[1]
  return suggestion === undefined ? message.trim() : `no command "${args[0]}"; did you mean "${suggestion}"?`
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

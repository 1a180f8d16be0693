import yargs, { type Argv } from 'yargs'
import { UsageError } from '../errors/errors.js'
import { COMMANDS } from './commands/commands.js'
import type { Action } from './context.js'

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
    .demandCommand(1, 1, 'Which command? See: pbsfs --help')
    .exitProcess(false)
    .wrap(Math.min(columns ?? MAX_WIDTH, MAX_WIDTH))
    .example('pbsfs mount /mnt/datastore/main ~/pbs', 'Browse a whole datastore')
    .example('pbsfs umount ~/pbs', 'End the mount')
  for (const define of COMMANDS) program.command(define(choose))
  return program
}

/** Reads a command line. UsageError when it cannot be understood. */
export async function parseCommandLine(args: readonly string[], version: string, columns?: number): Promise<Parsed> {
  let chosen: Action | undefined
  let help = ''
  const program = buildProgram(version, (action) => (chosen = action), columns)
  program.fail((message, error) => {
    throw error instanceof UsageError ? error : new UsageError(tidy(message ?? String(error)))
  })
  await program.parseAsync([...args], {}, (error, _argv, output) => {
    if (error != null) throw error
    help = output
  })
  return chosen === undefined ? { help: help + '\n' } : { action: chosen }
}

function tidy(message: string): string {
  return message.trim().replaceAll(/\n+/g, '\n')
}

import { COMMANDS } from '../commands/commands.js'
import { describeCommand, type CommandDescription } from './describe-command.js'

/** What the reference, the man page and completion know of all commands. */
export function describeAllCommands(): CommandDescription[] {
  return COMMANDS.map((define) => describeCommand(define(() => undefined)))
}

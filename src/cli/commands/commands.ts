import type { CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { accessCommand } from './access.js'
import { bootCommand } from './boot.js'
import { catCommand } from './cat.js'
import { checkCommand } from './check.js'
import { completionCommand } from './completion.js'
import { diffCommand } from './diff.js'
import { doctorCommand } from './doctor.js'
import { findCommand } from './find.js'
import { keyCommand } from './key.js'
import { listCommand } from './list.js'
import { logCommand } from './log.js'
import { lsCommand } from './ls.js'
import { mapCommand } from './map.js'
import { mountCommand } from './mount.js'
import { nbdCommand } from './nbd.js'
import { overlayCommand } from './overlay.js'
import { restoreCommand } from './restore.js'
import { statCommand } from './stat.js'
import { statusCommand } from './status.js'
import { umountCommand } from './umount.js'
import { unmapCommand } from './unmap.js'
import { versionCommand } from './version.js'

/** Every command; a definition only names arguments, the work is imported when it is chosen. */
export const COMMANDS: readonly ((choose: Choose) => CommandModule)[] = [
  mountCommand,
  umountCommand,
  statusCommand,
  listCommand,
  lsCommand,
  statCommand,
  catCommand,
  findCommand,
  logCommand,
  diffCommand,
  checkCommand,
  restoreCommand,
  mapCommand,
  unmapCommand,
  nbdCommand,
  bootCommand,
  overlayCommand,
  accessCommand,
  keyCommand,
  doctorCommand,
  completionCommand,
  versionCommand,
]

/** Names and aliases of all commands. */
export function commandNames(): Set<string> {
  const names = COMMANDS.map((define) => define(() => undefined)).flatMap(({ command, aliases }) => [command, aliases].flat())
  return new Set(names.filter((name) => name !== undefined).map((name) => name.split(' ')[0]!))
}

import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { readMountArguments } from '../mount-arguments.js'
import { STORE_OPTIONS } from '../store-options.js'

const options = {
  foreground: { alias: 'f', type: 'boolean', describe: 'Serve in this process, log to stderr, return when the mount has ended' },
  options: { alias: 'o', type: 'string', requiresArg: true, describe: 'mount(8) options, like allow_other,uid=1000; may be repeated' },
  driver: { choices: ['kernel', 'fuse-native'], requiresArg: true, describe: 'Who speaks to the kernel: pbsfs itself, or the library fuse-native (default kernel)' },
  ...STORE_OPTIONS,
  overlay: { type: 'string', requiresArg: true, describe: 'Folder that takes what is written to disk images, which can be written to then; the backup never changes' },
  log: { type: 'string', requiresArg: true, describe: 'Append the log to this file (default: one in the runtime folder)' },
  'log-level': { choices: ['debug', 'info', 'warn', 'error'], requiresArg: true, describe: 'Least that is logged (default info)' },
  verbose: { alias: 'v', type: 'boolean', describe: 'Same as --log-level debug' },
  debug: { alias: 'd', type: 'boolean', describe: '--foreground --log-level debug, and the stack of an internal error' },
} as const

export function mountCommand(choose: Choose): CommandModule {
  return {
    command: 'mount <source> <mountpoint> [more]',
    describe: 'Mount a datastore, or a part of it',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs mount SOURCE MOUNTPOINT [options]\npbsfs mount SNAPSHOT ARCHIVE MOUNTPOINT --repository STORE [options]')
        .positional('source', { type: 'string', describe: 'PATH[::SELECTOR] of a datastore or archive, or SNAPSHOT' })
        .positional('mountpoint', { type: 'string', describe: 'Empty folder; made when it is missing. Or ARCHIVE' })
        .positional('more', { type: 'string', describe: 'MOUNTPOINT behind SNAPSHOT ARCHIVE' })
        .options(options)
        .example('pbsfs mount /mnt/datastore/main ~/pbs', 'Browse a whole datastore')
        .example('pbsfs mount /mnt/datastore/main::host/web/latest/root.pxar /mnt/web', 'One archive of the newest snapshot')
        .example('pbsfs mount /mnt/datastore/main ~/pbs --keyfile web.key --keyfile db.key', 'Backups of two hosts, each with its key')
        .example('pbsfs mount host/web/2026-01-02T00:00:00Z root.pxar /mnt/web --repository main', "A line of the vendor's client"),
    handler: (argv) => {
      const args = readMountArguments(argv)
      choose(async (context) => (await import('../actions/mount.js')).mount(args, context))
    },
  }
}

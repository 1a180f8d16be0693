import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { DAMAGE_OPTIONS } from '../damage-options.js'
import { LOCK_OPTIONS } from '../lock-options.js'
import { readMountArguments } from '../mount-arguments.js'

const options = {
  foreground: { alias: 'f', type: 'boolean', describe: 'Stay in the foreground' },
  options: { alias: 'o', type: 'string', requiresArg: true, describe: 'mount(8) options: allow_other, uid=1000, ...' },
  'cache-size': { type: 'string', requiresArg: true, describe: 'Memory for decoded chunks (default 256M)' },
  decoders: { type: 'string', requiresArg: true, describe: 'Decoding threads (default 2)' },
  driver: { choices: ['kernel', 'fuse-native'], requiresArg: true, describe: 'Who speaks to the kernel (default kernel)' },
  'payload-input': { type: 'string', requiresArg: true, describe: 'The *.ppxar of a lone *.mpxar' },
  repository: { type: 'string', requiresArg: true, describe: 'Path or name of the store; SOURCE is then a place in it' },
  ns: { type: 'string', requiresArg: true, describe: 'With --repository: namespace SOURCE is in, like a/b' },
  keyfile: { type: 'string', requiresArg: true, describe: 'Encryption key, or one printed on paper; may be repeated' },
  keyfd: { type: 'string', requiresArg: true, describe: 'Descriptor to read the encryption key from' },
  'master-keyfile': { type: 'string', requiresArg: true, describe: 'Private master key (PEM): opens backups that carry their key' },
  force: { type: 'boolean', describe: 'Show what contradicts its manifest or signature' },
  ...LOCK_OPTIONS,
  ...DAMAGE_OPTIONS,
  log: { type: 'string', requiresArg: true, describe: 'Append the log to this file' },
  'log-level': { choices: ['debug', 'info', 'warn', 'error'], requiresArg: true, describe: 'Least that is logged (default info)' },
  verbose: { alias: 'v', type: 'boolean', describe: 'Same as --log-level debug' },
  debug: { alias: 'd', type: 'boolean', describe: 'Foreground, debug log, stacks of internal errors' },
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

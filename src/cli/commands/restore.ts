import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { lastOf, listOf } from '../option-values.js'
import { readStoreArguments, STORE_OPTIONS } from '../store-options.js'

const OPTIONS = {
  pattern: { type: 'string', requiresArg: true, describe: 'Only what matches, and what is in it: a name at any depth, or a path from the root on; may be repeated' },
  exclude: { type: 'string', requiresArg: true, describe: 'Not what matches; may be repeated' },
  overwrite: { type: 'boolean', describe: 'Replace files that are there and differ in size or time' },
  'ignore-ownership': { type: 'boolean', describe: 'Leave owner and group to whoever restores' },
  'ignore-permissions': { type: 'boolean', describe: 'Leave modes as they come' },
  'ignore-acls': { type: 'boolean', describe: 'Set no access control lists' },
  'ignore-xattrs': { type: 'boolean', describe: 'Set no other extended attributes and no capabilities' },
  'dry-run': { alias: 'n', type: 'boolean', describe: 'Say what would be written, and write nothing' },
  verify: { type: 'boolean', describe: 'Read everything back from the target and compare it' },
  changed: { type: 'boolean', describe: 'Of an image: change the device or file TARGET in place, and write only what differs' },
  since: { type: 'string', requiresArg: true, describe: 'With --changed: TARGET holds this snapshot of the disk (its time, or PATH::SELECTOR) and is not read' },
  live: { type: 'boolean', describe: 'Of an image: serve the disk over NBD at once, writable, while it is copied to TARGET' },
  socket: { type: 'string', requiresArg: true, describe: 'With --live: path of the socket; one in the runtime folder when not given' },
  rate: { type: 'string', requiresArg: true, describe: 'With --live: bytes a second that are copied at most, like 50M' },
  json: { type: 'boolean', describe: 'For programs; docs/cli.md describes it' },
} as const

export function restoreCommand(choose: Choose): CommandModule {
  return {
    command: 'restore <source> <target> [more]',
    describe: 'Copy a backup, or part of it, to where you want it',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs restore SOURCE TARGET [options]\npbsfs restore SNAPSHOT ARCHIVE TARGET --repository STORE [options]')
        .positional('source', { type: 'string', describe: 'PATH[::SELECTOR] as for mount: an archive, a folder or file in it, an image, a snapshot' })
        .positional('target', { type: 'string', describe: 'Folder, made when it is missing; for a file or image also a file or block device' })
        .positional('more', { type: 'string', describe: 'TARGET behind SNAPSHOT ARCHIVE' })
        .options(OPTIONS)
        .options(STORE_OPTIONS)
        .example('pbsfs restore /mnt/datastore/main::host/web/latest/root.pxar /mnt/new', 'A whole archive, with owners, ACLs and times')
        .example("pbsfs restore /mnt/datastore/main::host/web/latest/root.pxar /tmp/etc --pattern '/etc/**/*.conf'", 'Some files of it')
        .example('pbsfs restore /mnt/datastore/main::vm/100/latest/drive-scsi0.img /var/tmp/disk.raw', "A VM's disk, with holes where it is empty"),
    handler: (argv) => {
      const args = {
        ...readStoreArguments(argv),
        target: lastOf(argv['target']) ?? '',
        more: lastOf(argv['more']),
        patterns: listOf(argv['pattern']),
        excludes: listOf(argv['exclude']),
        overwrite: argv['overwrite'] === true,
        ignoreOwnership: argv['ignoreOwnership'] === true,
        ignorePermissions: argv['ignorePermissions'] === true,
        ignoreAcls: argv['ignoreAcls'] === true,
        ignoreXattrs: argv['ignoreXattrs'] === true,
        dryRun: argv['dryRun'] === true,
        verify: argv['verify'] === true,
        changed: argv['changed'] === true,
        since: lastOf(argv['since']),
        live: argv['live'] === true,
        socket: lastOf(argv['socket']),
        rate: lastOf(argv['rate']),
        json: argv['json'] === true,
      }
      choose(async (context) => (await import('../actions/restore.js')).restore(args, context))
    },
  }
}

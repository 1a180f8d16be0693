import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { lastOf } from '../option-values.js'
import { readStoreArguments, STORE_OPTIONS } from '../store-options.js'

export function lsCommand(choose: Choose): CommandModule {
  return {
    command: 'ls <source> [path]',
    describe: 'List a folder of a backup, without a mount',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs ls SOURCE [PATH] [options]')
        .positional('source', { type: 'string', describe: 'PATH[::SELECTOR] as for mount' })
        .positional('path', { type: 'string', describe: 'Folder or file below SOURCE' })
        .option('long', { alias: 'l', type: 'boolean', describe: 'Mode, links, owner, group, size, time' })
        .option('recursive', { alias: 'R', type: 'boolean', describe: 'Everything below, folder by folder' })
        .option('utc', { type: 'boolean', describe: 'Times in UTC instead of local time' })
        .option('json', { type: 'boolean', describe: 'For programs; docs/cli.md describes it' })
        .options(STORE_OPTIONS)
        .example('pbsfs ls -l /mnt/datastore/main::host/web/latest/root.pxar etc', 'A folder of the newest backup')
        .example('pbsfs ls -R backup.pxar', 'All of an archive file'),
    handler: (argv) => {
      const args = {
        ...readStoreArguments(argv),
        path: lastOf(argv['path']),
        long: argv['long'] === true,
        recursive: argv['recursive'] === true,
        utc: argv['utc'] === true,
        json: argv['json'] === true,
      }
      choose(async (context) => (await import('../actions/ls.js')).ls(args, context))
    },
  }
}

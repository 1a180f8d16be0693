import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { lastOf } from '../option-values.js'
import { readStoreArguments, STORE_OPTIONS } from '../store-options.js'

export function statCommand(choose: Choose): CommandModule {
  return {
    command: 'stat <source> [path]',
    describe: 'Show what a backup says of one file',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs stat SOURCE [PATH] [options]')
        .positional('source', { type: 'string', describe: 'PATH[::SELECTOR] as for mount' })
        .positional('path', { type: 'string', describe: 'File or folder below SOURCE' })
        .option('utc', { type: 'boolean', describe: 'Times in UTC instead of local time' })
        .option('json', { type: 'boolean', describe: 'For programs; docs/cli.md describes it' })
        .options(STORE_OPTIONS)
        .example('pbsfs stat /mnt/datastore/main::host/web/latest/root.pxar etc/passwd', 'Owner, mode, times, attributes')
        .example('pbsfs stat /mnt/datastore/main::vm/100/latest/drive-scsi0.img', 'A disk'),
    handler: (argv) => {
      const args = { ...readStoreArguments(argv), path: lastOf(argv['path']), utc: argv['utc'] === true, json: argv['json'] === true }
      choose(async (context) => (await import('../actions/stat.js')).stat(args, context))
    },
  }
}

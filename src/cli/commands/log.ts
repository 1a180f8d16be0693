import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { lastOf } from '../option-values.js'
import { readStoreArguments, STORE_OPTIONS } from '../store-options.js'

export function logCommand(choose: Choose): CommandModule {
  return {
    command: 'log <source> [path]',
    describe: 'Show every version of one file across its snapshots',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs log SOURCE [PATH] [options]')
        .positional('source', { type: 'string', describe: 'PATH::SELECTOR of the file in any snapshot, or of the group' })
        .positional('path', { type: 'string', describe: 'File below SOURCE' })
        .option('content', { type: 'boolean', describe: 'Read the content where indices cannot tell whether it changed' })
        .option('utc', { type: 'boolean', describe: 'Times in UTC instead of local time' })
        .option('json', { type: 'boolean', describe: 'For programs; docs/cli.md describes it' })
        .options(STORE_OPTIONS)
        .example('pbsfs log /mnt/datastore/main::host/web/latest/root.pxar:etc/passwd', 'When did it change?')
        .example('pbsfs log /mnt/datastore/main::host/web root.pxar/etc/passwd --json', 'The same for programs'),
    handler: (argv) => {
      const args = {
        ...readStoreArguments(argv),
        path: lastOf(argv['path']),
        content: argv['content'] === true,
        utc: argv['utc'] === true,
        json: argv['json'] === true,
      }
      choose(async (context) => (await import('../actions/log.js')).log(args, context))
    },
  }
}

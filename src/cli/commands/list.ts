import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { readStoreArguments, STORE_OPTIONS } from '../store-options.js'

export function listCommand(choose: Choose): CommandModule {
  return {
    command: 'list [source]',
    describe: 'List the snapshots of a datastore',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs list [SOURCE] [options]')
        .positional('source', { type: 'string', describe: 'PATH[::SELECTOR]: a datastore, or a namespace, group or snapshot in it; without it all of --repository' })
        .option('utc', { type: 'boolean', describe: 'Times in UTC instead of local time' })
        .option('json', { type: 'boolean', describe: 'For programs; docs/cli.md describes it' })
        .options(STORE_OPTIONS)
        .example('pbsfs list /mnt/datastore/main', 'Everything, the newest of each group last')
        .example('pbsfs list /mnt/datastore/main::host/web --json', 'One group, for programs'),
    handler: (argv) => {
      const args = { ...readStoreArguments(argv, true), utc: argv['utc'] === true, json: argv['json'] === true }
      choose(async (context) => (await import('../actions/list.js')).list(args, context))
    },
  }
}

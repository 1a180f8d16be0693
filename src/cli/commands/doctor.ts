import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { lastOf, listOf } from '../option-values.js'
import { KEY_OPTIONS, PLACE_OPTIONS, readStoreArguments } from '../store-options.js'

export function doctorCommand(choose: Choose): CommandModule {
  return {
    command: 'doctor [source]',
    describe: 'Look at everything pbsfs needs on this host, and say what to do',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs doctor [SOURCE] [options]')
        .positional('source', { type: 'string', describe: 'PATH[::SELECTOR]: look at this datastore and its locks, too' })
        .option('json', { type: 'boolean', describe: 'For programs; docs/cli.md describes it' })
        .options({ ...PLACE_OPTIONS, keyfile: KEY_OPTIONS.keyfile, 'master-keyfile': KEY_OPTIONS['master-keyfile'] })
        .example('pbsfs doctor', 'Why does it not mount here?')
        .example('pbsfs doctor /mnt/datastore/main', 'The same, and can this store be read and locked?'),
    handler: (argv) => {
      const source = lastOf(argv['source'])
      const args = {
        source: source === undefined ? undefined : readStoreArguments(argv),
        keyfiles: listOf(argv['keyfile']),
        masterKeyfiles: listOf(argv['masterKeyfile']),
        json: argv['json'] === true,
      }
      choose(async (context) => (await import('../actions/doctor.js')).doctor(args, context))
    },
  }
}

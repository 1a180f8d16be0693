import type { Argv, CommandModule } from 'yargs'
import { UsageError } from '../../errors/errors.js'
import type { Choose } from '../context.js'
import { lastOf } from '../option-values.js'

export function keyCommand(choose: Choose): CommandModule {
  return {
    command: 'key <action> <file>',
    describe: 'Show what a key file is',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs key show FILE [options]')
        .positional('action', { type: 'string', describe: 'What to do: show' })
        .positional('file', { type: 'string', describe: 'Key file, printed key, or master key' })
        .option('json', { type: 'boolean', describe: 'For programs; docs/cli.md describes it' })
        .example('pbsfs key show encryption-key.json', 'Kind, fingerprint, dates')
        .example('pbsfs key show master-private.pem', 'A master key'),
    handler: (argv) => {
      const action = lastOf(argv['action']) ?? ''
      if (action !== 'show') throw new UsageError(`no command "key ${action}"; there is "key show"`)
      const file = lastOf(argv['file']) ?? ''
      const json = argv['json'] === true
      choose(async (context) => (await import('../actions/key-show.js')).keyShow({ file, json }, context))
    },
  }
}

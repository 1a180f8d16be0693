import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { lastOf } from '../option-values.js'

export function statusCommand(choose: Choose): CommandModule {
  return {
    command: 'status [mountpoint]',
    describe: 'Show mounts, their sources, cache use and errors',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs status [MOUNTPOINT] [options]')
        .positional('mountpoint', { type: 'string', describe: 'Only this mount, in detail' })
        .option('json', { type: 'boolean', describe: 'For programs; docs/cli.md describes it' })
        .example('pbsfs status', 'One line for each mount')
        .example('pbsfs status --json', 'The same for programs'),
    handler: (argv) => {
      const mountpoint = lastOf(argv['mountpoint'])
      const json = argv['json'] === true
      choose(async (context) => (await import('../actions/status.js')).status({ mountpoint, json }, context))
    },
  }
}

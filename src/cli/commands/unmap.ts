import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { lastOf } from '../option-values.js'

export function unmapCommand(choose: Choose): CommandModule {
  return {
    command: 'unmap [device]',
    describe: 'Remove a block device; without DEVICE list them',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs unmap [DEVICE] [options]')
        .positional('device', { type: 'string', describe: '/dev/loopN as pbsfs map printed it' })
        .option('all', { alias: 'a', type: 'boolean', describe: 'Remove every device that map made' })
        .example('pbsfs unmap /dev/loop0', 'Remove one')
        .example('pbsfs unmap', 'List them'),
    handler: (argv) => {
      const device = lastOf(argv['device'])
      const all = argv['all'] === true
      choose(async (context) => (await import('../actions/unmap.js')).unmap({ device, all }, context))
    },
  }
}

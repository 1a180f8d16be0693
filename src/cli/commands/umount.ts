import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { lastOf } from '../option-values.js'

export function umountCommand(choose: Choose): CommandModule {
  return {
    command: 'umount [mountpoint]',
    aliases: ['unmount'],
    describe: 'End a mount; without MOUNTPOINT list them',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs umount [MOUNTPOINT] [options]')
        .positional('mountpoint', { type: 'string', describe: 'Where it is mounted' })
        .option('lazy', { alias: 'l', type: 'boolean', describe: 'Free the path although it is in use; what is open can be read to its end' })
        .example('pbsfs umount ~/pbs', 'End the mount at ~/pbs')
        .example('pbsfs umount', 'List the mounts and how to leave them'),
    handler: (argv) => {
      const mountpoint = lastOf(argv['mountpoint'])
      const lazy = argv['lazy'] === true
      choose(async (context) => (await import('../actions/umount.js')).umount({ mountpoint, lazy }, context))
    },
  }
}

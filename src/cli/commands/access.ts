import type { Argv, CommandModule } from 'yargs'
import { UsageError } from '../../errors/errors.js'
import type { Choose } from '../context.js'
import { lastOf, listOf } from '../option-values.js'
import { readStoreArguments, STORE_OPTIONS } from '../store-options.js'

export function accessCommand(choose: Choose): CommandModule {
  return {
    command: 'access <action> [operands..]',
    describe: 'Let another backup program copy disks, each time only what changed',
    builder: (yargs: Argv) =>
      yargs
        .usage(
          'pbsfs access setup TARGET-ID SNAPSHOT [--bitmap NAME]\npbsfs access ranges TARGET-ID DISK\n' +
            'pbsfs access teardown TARGET-ID --success|--failure\npbsfs access list [TARGET-ID]',
        )
        .positional('action', { type: 'string', describe: 'setup, ranges, teardown, or list' })
        .positional('operands', { type: 'string', array: true, describe: 'TARGET-ID: a name for the program that copies; SNAPSHOT: PATH::SELECTOR; DISK: like drive-scsi0' })
        .option('bitmap', { type: 'string', requiresArg: true, describe: 'setup: name of what is remembered between runs; absent: everything is to be read' })
        .option('success', { type: 'boolean', describe: 'teardown: the copy is complete, the next run starts from it' })
        .option('failure', { type: 'boolean', describe: 'teardown: it is not, the next run reads what this one had to, too' })
        .option('id', { type: 'string', requiresArg: true, describe: 'teardown: only the access of this id, as setup told it' })
        .option('group', { type: 'string', requiresArg: true, describe: 'ranges, teardown: like vm/100, where the target has set up several' })
        .option('state-dir', { type: 'string', requiresArg: true, describe: 'Folder of what is remembered (default /var/lib/pbsfs; not as root $XDG_STATE_HOME/pbsfs)' })
        .option('json', { type: 'boolean', describe: 'For programs; docs/cli.md describes it' })
        .options(STORE_OPTIONS)
        .example('pbsfs access setup tape STORE::vm/100/latest --bitmap weekly', 'What has to be read of each disk')
        .example('pbsfs access teardown tape --success', 'The copy is complete: the next run reads what changes from here on'),
    handler: (argv) => {
      const action = lastOf(argv['action']) ?? ''
      const operands = listOf(argv['operands'])
      if (action !== 'setup' && action !== 'ranges' && action !== 'teardown' && action !== 'list') {
        throw new UsageError(`no command "access ${action}"; there are setup, ranges, teardown and list`)
      }
      const args = {
        // Only setup has one.
        ...readStoreArguments({ ...argv, source: action === 'setup' && operands.length === 2 ? operands[1] : '/' }),
        operands,
        bitmap: lastOf(argv['bitmap']),
        success: argv['success'] === true,
        failure: argv['failure'] === true,
        id: lastOf(argv['id']),
        group: lastOf(argv['group']),
        stateDir: lastOf(argv['stateDir']),
        json: argv['json'] === true,
      }
      choose(async (context) => (await import('../actions/access.js')).access(action, args, context))
    },
  }
}

import type { Argv, CommandModule } from 'yargs'
import { UsageError } from '../../errors/errors.js'
import type { Choose } from '../context.js'
import { lastOf, listOf } from '../option-values.js'
import { readStoreArguments, STORE_OPTIONS } from '../store-options.js'

export function overlayCommand(choose: Choose): CommandModule {
  return {
    command: 'overlay <action> [operands..]',
    describe: 'See, keep or drop what was written to disk images',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs overlay status FILE|FOLDER...\npbsfs overlay commit FILE STORE TARGET [--format raw|qcow2] [--overwrite]\npbsfs overlay drop FILE...')
        .positional('action', { type: 'string', describe: 'status, commit, or drop' })
        .positional('operands', {
          type: 'string',
          array: true,
          describe: 'FILE: an overlay, as given to --overlay of nbd or found in that folder of mount; STORE: where its backup is; TARGET: the disk that is made',
        })
        .option('format', { choices: ['raw', 'qcow2'], requiresArg: true, describe: 'commit: what TARGET becomes (default: qcow2 when its name ends so, else raw)' })
        .option('overwrite', { type: 'boolean', describe: 'commit: replace a file that is there, or the contents of a device' })
        .option('json', { type: 'boolean', describe: 'For programs; docs/cli.md describes it' })
        .options(STORE_OPTIONS)
        .example('pbsfs overlay commit /var/tmp/try.disk main /var/tmp/repaired.qcow2', 'The backup with what was written, as a disk of its own')
        .example('pbsfs overlay drop /var/tmp/try.disk', 'Forget what was written; the backup is as it always was'),
    handler: (argv) => {
      const action = lastOf(argv['action']) ?? ''
      const operands = listOf(argv['operands'])
      if (action !== 'status' && action !== 'commit' && action !== 'drop') {
        throw new UsageError(`no command "overlay ${action}"; there are status, commit and drop`)
      }
      const args = {
        // Only commit has one; without it, it is the store that is known otherwise, for the overlay tells the place in it.
        ...readStoreArguments({ ...argv, source: action === 'commit' && operands.length === 3 ? operands[1] : 'vm' }),
        operands,
        format: lastOf(argv['format']) as 'raw' | 'qcow2' | undefined,
        overwrite: argv['overwrite'] === true,
        json: argv['json'] === true,
      }
      choose(async (context) =>
        action === 'commit' ? (await import('../actions/overlay-commit.js')).commitOverlay(args, context) : (await import('../actions/overlay.js')).overlay(action, args, context),
      )
    },
  }
}

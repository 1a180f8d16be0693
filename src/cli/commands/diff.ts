import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { lastOf } from '../option-values.js'
import { readStoreArguments, STORE_OPTIONS } from '../store-options.js'

export function diffCommand(choose: Choose): CommandModule {
  return {
    command: 'diff <source> <other>',
    describe: 'Show what differs between two backups',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs diff BEFORE AFTER [options]')
        .positional('source', { type: 'string', describe: 'PATH::SELECTOR of a snapshot, an archive, a folder or file in it, or an image' })
        .positional('other', { type: 'string', describe: 'The same of the later state' })
        .option('content', { type: 'boolean', describe: 'Read contents where neither time nor indices tell whether they changed' })
        .option('fine', { type: 'boolean', describe: 'Of images: read what may have changed, and tell it down to 4 KiB' })
        .option('exit-code', { type: 'boolean', describe: 'End with 1 when there are differences' })
        .option('json', { type: 'boolean', describe: 'For programs; docs/cli.md describes it' })
        .options(STORE_OPTIONS)
        .example('pbsfs diff STORE::host/web/2026-01-01T00:00:00Z/root.pxar STORE::host/web/latest/root.pxar', 'Files of two snapshots')
        .example('pbsfs diff STORE::vm/100/2026-01-01T00:00:00Z/drive-scsi0.img STORE::vm/100/latest/drive-scsi0.img --json', 'Changed ranges of a disk'),
    handler: (argv) => {
      const args = {
        ...readStoreArguments(argv),
        other: lastOf(argv['other']) ?? '',
        content: argv['content'] === true,
        fine: argv['fine'] === true,
        exitCode: argv['exitCode'] === true,
        json: argv['json'] === true,
      }
      choose(async (context) => (await import('../actions/diff.js')).diff(args, context))
    },
  }
}

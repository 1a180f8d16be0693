import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { listOf } from '../option-values.js'
import { readStoreArguments, STORE_OPTIONS } from '../store-options.js'

export function catCommand(choose: Choose): CommandModule {
  return {
    command: 'cat <source> [paths..]',
    describe: 'Write the content of files of a backup to the output',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs cat SOURCE [PATH...] [options]')
        .positional('source', { type: 'string', describe: 'PATH[::SELECTOR] as for mount' })
        .positional('paths', { type: 'string', array: true, describe: 'Files below SOURCE' })
        .options(STORE_OPTIONS)
        .example('pbsfs cat /mnt/datastore/main::host/web/latest/root.pxar etc/passwd > passwd', 'One file back')
        .example('pbsfs cat /mnt/datastore/main::vm/100/latest/drive-scsi0.img > /dev/vg0/disk', 'A disk'),
    handler: (argv) => {
      const args = { ...readStoreArguments(argv), paths: listOf(argv['paths']) }
      choose(async (context) => (await import('../actions/cat.js')).cat(args, context))
    },
  }
}

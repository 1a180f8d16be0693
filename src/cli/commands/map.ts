import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { LOCK_OPTIONS } from '../lock-options.js'
import { readMountArguments } from '../mount-arguments.js'
import { lastOf } from '../option-values.js'
import { ENGINE_OPTIONS, KEY_OPTIONS, PLACE_OPTIONS } from '../store-options.js'

const options = {
  partition: { alias: 'p', type: 'string', requiresArg: true, describe: 'Only partition N, or the volume of that name (vg1-first); how to mount it is printed' },
  ...PLACE_OPTIONS,
  ...KEY_OPTIONS,
  ...LOCK_OPTIONS,
  ...ENGINE_OPTIONS,
} as const

export function mapCommand(choose: Choose): CommandModule {
  return {
    command: 'map <source> [image]',
    describe: 'Make a read-only block device of a disk image (as root)',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs map SOURCE [options]\npbsfs map SNAPSHOT IMAGE --repository STORE [options]')
        .positional('source', { type: 'string', describe: 'PATH::SELECTOR of an image, or SNAPSHOT' })
        .positional('image', { type: 'string', describe: 'IMAGE behind SNAPSHOT' })
        .options(options)
        .example('pbsfs map /mnt/datastore/main::vm/100/latest/drive-scsi0.img', 'The disk with all its partitions')
        .example('pbsfs map /mnt/datastore/main::vm/100/latest/drive-scsi0.img -p 3', 'Its third partition alone')
        .example('pbsfs map vm/100/2026-01-05T00:00:00Z drive-scsi0.img --repository main', "A line of the vendor's client"),
    handler: (argv) => {
      const args = { ...readMountArguments(argv), image: lastOf(argv['image']), partition: lastOf(argv['partition']) }
      choose(async (context) => (await import('../actions/map.js')).map(args, context))
    },
  }
}

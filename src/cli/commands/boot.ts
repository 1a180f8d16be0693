import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { lastOf, listOf } from '../option-values.js'
import { readStoreArguments, STORE_OPTIONS } from '../store-options.js'

const options = {
  run: { type: 'boolean', describe: 'Start the machine; without this its line is printed, and the disks are served for it until Ctrl-C' },
  overlay: { type: 'string', requiresArg: true, describe: 'Folder that keeps what is written to the disks, and the next start goes on with it (default: all is lost at the end)' },
  memory: { type: 'string', requiresArg: true, describe: 'Memory of the machine, like 2G (default: as it is configured)' },
  network: { type: 'boolean', describe: 'Give the machine a network card; what it does there is real (default: none)' },
  socket: { type: 'string', requiresArg: true, describe: 'Serve the disks on this unix socket (default: one in the runtime folder)' },
} as const

export function bootCommand(choose: Choose): CommandModule {
  return {
    command: 'boot <source> [qemu-arguments..]',
    describe: 'Start a virtual machine from its backup, which never changes',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs boot SNAPSHOT [options]\npbsfs boot SNAPSHOT [options] -- QEMU-ARGUMENT...')
        .positional('source', { type: 'string', describe: 'PATH::SELECTOR of one snapshot of a virtual machine' })
        .positional('qemu-arguments', { type: 'string', array: true, describe: 'Further arguments for QEMU; an option takes the place of ours' })
        .options(options)
        .options(STORE_OPTIONS)
        .example('pbsfs boot /mnt/datastore/main::vm/100/latest --run', 'Try whether the backup starts; nothing that is written is kept')
        .example('pbsfs boot /mnt/datastore/main::vm/100/latest --run --overlay /var/tmp/vm100', 'Work in it, and go on later')
        .example('pbsfs boot /mnt/datastore/main::vm/100/latest --run -- -nographic', 'Its serial port in this terminal, and no screen'),
    handler: (argv) => {
      const args = {
        ...readStoreArguments(argv),
        run: argv['run'] === true,
        overlay: lastOf(argv['overlay']),
        memory: lastOf(argv['memory']),
        network: argv['network'] === true,
        socket: lastOf(argv['socket']),
        qemuArguments: listOf(argv['qemuArguments']),
      }
      choose(async (context) => (await import('../actions/boot.js')).boot(args, context))
    },
  }
}

import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { lastOf, listOf } from '../option-values.js'
import { readStoreArguments, STORE_OPTIONS } from '../store-options.js'

const options = {
  socket: { type: 'string', requiresArg: true, describe: 'Listen on this unix socket, for this user alone (default: one in the runtime folder)' },
  listen: { type: 'string', requiresArg: true, describe: 'Listen on HOST:PORT instead; beyond this host it needs TLS' },
  overlay: { type: 'string', requiresArg: true, describe: 'File that takes what is written to the disk, which can be written to then; the backup never changes' },
  since: { type: 'string', requiresArg: true, describe: 'Tell what changed since this snapshot: a TIME of the same machine, or TYPE/ID/TIME of the store' },
  bitmap: { type: 'string', requiresArg: true, describe: 'With --since: tell it as qemu:dirty-bitmap:NAME (default: the time)' },
  access: { type: 'string', requiresArg: true, describe: 'In place of SOURCE: the disks of the access that TARGET-ID has set up, with its bitmap' },
  group: { type: 'string', requiresArg: true, describe: 'With --access: like vm/100, where the target has set up several' },
  'state-dir': { type: 'string', requiresArg: true, describe: 'With --access: folder of what is remembered (default as for access)' },
  tls: { type: 'boolean', describe: 'Serve nobody without TLS; needs one of the next two' },
  'tls-certificates': { type: 'string', requiresArg: true, describe: 'Folder with server-cert.pem, server-key.pem and ca-cert.pem' },
  'tls-psk': { type: 'string', requiresArg: true, describe: 'File with keys that clients know, NAME:HEX lines as psktool writes them' },
  'tls-verify-peer': { type: 'boolean', describe: 'With --tls-certificates: clients need a certificate that ca-cert.pem has signed' },
  'no-tls': { type: 'boolean', describe: 'Serve other hosts without TLS all the same: whoever reaches the port reads the disks' },
  log: { type: 'string', requiresArg: true, describe: 'Append the log to this file' },
  'log-level': { choices: ['debug', 'info', 'warn', 'error'], requiresArg: true, describe: 'Least that is logged (default info)' },
  verbose: { alias: 'v', type: 'boolean', describe: 'Same as --log-level debug' },
} as const

export function nbdCommand(choose: Choose): CommandModule {
  return {
    command: 'nbd [sources..]',
    describe: 'Serve disk images to NBD clients, like qemu-img',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs nbd SOURCE... [options]\npbsfs nbd --access TARGET-ID [options]')
        .positional('sources', { type: 'string', array: true, describe: 'PATH::SELECTOR of an image, a partition, a snapshot, a group or more' })
        .options(options)
        .options(STORE_OPTIONS)
        .example('pbsfs nbd /mnt/datastore/main::vm/100/latest', 'All disks of a machine; prints how clients name them')
        .example('pbsfs nbd /mnt/datastore/main::vm/100/latest/drive-scsi0.img --socket /tmp/d', 'One disk')
        .example('pbsfs nbd main::vm/100/latest --since 2026-01-01T00:00:00Z', 'What changed, for a tool that copies increments')
        .example('pbsfs nbd --access tape --socket /tmp/s', 'The same for the access that was set up for it')
        .example('pbsfs nbd main::vm/100 --listen 0.0.0.0:10809 --tls-certificates /etc/pki/qemu', 'For other hosts'),
    handler: (argv) => {
      const sources = listOf(argv['sources'])
      const args = {
        ...readStoreArguments({ ...argv, source: sources[0] ?? '/' }),
        sources,
        socket: lastOf(argv['socket']),
        listen: lastOf(argv['listen']),
        overlay: lastOf(argv['overlay']),
        since: lastOf(argv['since']),
        bitmap: lastOf(argv['bitmap']),
        access: lastOf(argv['access']),
        group: lastOf(argv['group']),
        stateDir: lastOf(argv['stateDir']),
        tls: argv['tls'] === true,
        tlsCertificates: lastOf(argv['tlsCertificates']),
        tlsPsk: lastOf(argv['tlsPsk']),
        tlsVerifyPeer: argv['tlsVerifyPeer'] === true,
        noTls: argv['noTls'] === true,
        log: lastOf(argv['log']),
        logLevel: argv['verbose'] === true ? 'debug' : lastOf(argv['logLevel']),
      }
      choose(async (context) => (await import('../actions/nbd.js')).nbd(args, context))
    },
  }
}

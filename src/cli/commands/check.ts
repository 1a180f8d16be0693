import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { listOf } from '../option-values.js'
import { readStoreArguments, STORE_OPTIONS } from '../store-options.js'

// What another store has, or zeros would hide, is damage here.
const { damaged: _damaged, fallback: _fallback, ...options } = STORE_OPTIONS

export function checkCommand(choose: Choose): CommandModule {
  return {
    command: 'check <sources..>',
    describe: 'Is everything there that the snapshots need?',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs check SOURCE... [options]')
        .positional('sources', { type: 'string', array: true, describe: 'PATH[::SELECTOR]: a datastore, or a namespace, group or snapshot in it' })
        .option('read', { type: 'boolean', describe: 'Read every chunk: checksum, decryption, digest' })
        .option('mark-failed', { type: 'boolean', describe: 'Record in damaged snapshots that verification failed, so that no backup builds on them' })
        .option('json', { type: 'boolean', describe: 'For programs; docs/cli.md describes it' })
        .options(options)
        .example('pbsfs check /mnt/datastore/main', 'Is every chunk there?')
        .example('pbsfs check /mnt/datastore/main::vm/100 --read', 'Is every byte of this machine what it was?'),
    handler: (argv) => {
      const sources = listOf(argv['sources'])
      const args = { ...readStoreArguments({ ...argv, source: sources[0] }), sources, read: argv['read'] === true, markFailed: argv['markFailed'] === true, json: argv['json'] === true }
      choose(async (context) => (await import('../actions/check.js')).check(args, context))
    },
  }
}

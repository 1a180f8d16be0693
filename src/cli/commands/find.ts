import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { lastOf, listOf } from '../option-values.js'
import { readStoreArguments, STORE_OPTIONS } from '../store-options.js'

const TESTS = {
  name: { type: 'string', requiresArg: true, describe: 'Shell pattern on the name' },
  iname: { type: 'string', requiresArg: true, describe: 'The same, upper and lower case alike' },
  path: { type: 'string', requiresArg: true, describe: 'Shell pattern on the path as it is printed' },
  type: { type: 'string', requiresArg: true, describe: 'f, d, l, p, s, c or b; several with commas' },
  size: { type: 'string', requiresArg: true, describe: 'Like +10M, -4k, 512c; without a letter in blocks of 512 bytes' },
  newer: { type: 'string', requiresArg: true, describe: 'Modified after this file of this host, or after this date' },
} as const

/** Words that may be written with one dash, as for find(1). */
export const FIND_FLAGS: ReadonlySet<string> = new Set(['all', 'print0'])
export const FIND_WORDS: ReadonlySet<string> = new Set([...Object.keys(TESTS), ...FIND_FLAGS])

export function findCommand(choose: Choose): CommandModule {
  return {
    command: 'find <source> [start]',
    describe: 'Look for files in a backup, or in all of them',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs find SOURCE [START] [tests] [options]')
        .positional('source', { type: 'string', describe: 'PATH[::SELECTOR] as for mount' })
        .positional('start', { type: 'string', describe: 'Folder below SOURCE to begin at' })
        .options(TESTS)
        .option('all', { type: 'boolean', describe: 'Through all snapshots of a group or store, the newest first' })
        .option('print0', { alias: '0', type: 'boolean', describe: 'Names as they are, with a NUL behind each' })
        .option('json', { type: 'boolean', describe: 'For programs, one document a line; docs/cli.md describes it' })
        .options(STORE_OPTIONS)
        .example("pbsfs find /mnt/datastore/main::host/web/latest/root.pxar -name '*.conf' -newer 2026-01-01", 'In one backup')
        .example('pbsfs find /mnt/datastore/main::host/web --all -name passwd', 'Every version of it, and since when it is gone'),
    handler: (argv) => {
      const args = {
        ...readStoreArguments(argv),
        path: lastOf(argv['start']),
        names: listOf(argv['name']),
        inames: listOf(argv['iname']),
        paths: listOf(argv['path']),
        types: listOf(argv['type']),
        sizes: listOf(argv['size']),
        newer: lastOf(argv['newer']),
        all: argv['all'] === true,
        print0: argv['print0'] === true,
        json: argv['json'] === true,
      }
      choose(async (context) => (await import('../actions/find.js')).find(args, context))
    },
  }
}

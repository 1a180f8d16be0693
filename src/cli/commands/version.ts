import type { Argv, CommandModule } from 'yargs'
import type { Choose } from '../context.js'
import { EXIT } from '../exit-codes.js'
import { readVersion } from '../version.js'

export function versionCommand(choose: Choose): CommandModule {
  return {
    command: 'version',
    describe: 'Show the version of pbsfs and of what it runs on',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs version [options]')
        .option('json', { type: 'boolean', describe: 'For programs; docs/cli.md describes it' })
        .example('pbsfs version', 'The version, for a report')
        .example('pbsfs version --json', 'The same for programs'),
    handler: (argv) => {
      const json = argv['json'] === true
      choose(async ({ output }) => {
        const version = { pbsfs: readVersion(), node: process.versions.node, arch: process.arch }
        const text = `pbsfs ${version.pbsfs} (node ${version.node}, ${version.arch})`
        output.out((json ? JSON.stringify(version) : text) + '\n')
        return EXIT.ok
      })
    },
  }
}

import type { Argv, CommandModule } from 'yargs'
import { UsageError } from '../../errors/errors.js'
import type { Choose } from '../context.js'
import { lastOf } from '../option-values.js'

export function completionCommand(choose: Choose): CommandModule {
  return {
    command: 'completion <shell>',
    describe: 'Print the completion script of a shell',
    builder: (yargs: Argv) =>
      yargs
        .usage('pbsfs completion SHELL')
        .positional('shell', { type: 'string', describe: 'bash or zsh' })
        .example('pbsfs completion bash > /etc/bash_completion.d/pbsfs', 'For everybody')
        .example('pbsfs completion zsh > ~/.zfunc/_pbsfs', 'A folder of fpath'),
    handler: (argv) => {
      const shell = lastOf(argv['shell']) ?? ''
      if (shell !== 'bash' && shell !== 'zsh') throw new UsageError(`no completion for "${shell}"; there is one for bash and one for zsh`)
      choose(async ({ output }) => {
        output.out((await import('../completion/scripts.js')).SHELLS[shell])
        return 0
      })
    },
  }
}

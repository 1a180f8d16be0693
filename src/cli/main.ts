import type { WaitingDaemon } from '../daemon/background.js'
import { UsageError } from '../errors/errors.js'
import { describeError } from './describe-error.js'
import { exitCodeOf } from './exit-codes.js'
import { processOutput, type Output } from './output.js'
import { readRawArgs } from './raw-args.js'
import { EXIT } from './exit-codes.js'

/**
 * Runs one command line and resolves with the exit code; never rejects. `args` are strings as
 * `readRawArgs` makes them.
 */
export async function main(args: readonly string[] = readRawArgs(), output: Output = processOutput): Promise<number> {
  const early = startEarly(args)
  try {
    // The daemon loads its modules while this process loads the parser.
    const daemon = await early
    return await run(args, output, daemon)
  } catch (error) {
    const debug = args.includes('-d') || args.includes('--debug')
    output.err(`pbsfs: ${describeError(error, debug)}\n`)
    if (error instanceof UsageError && error.fields['remedy'] === undefined) output.err('See: pbsfs --help\n')
    return exitCodeOf(error)
  }
}

async function run(given: readonly string[], output: Output, early: WaitingDaemon | undefined): Promise<number> {
  let daemon = early
  try {
    const [{ parseCommandLine }, { commandNames }, { asMountCommand }, { readVersion }] = await Promise.all([
      import('./program.js'),
      import('./commands/commands.js'),
      import('./mount-helper.js'),
      import('./version.js'),
    ])
    const args = asMountCommand(given, commandNames()) ?? given
    const parsed = await parseCommandLine(args, readVersion(), output.columns)
    if ('help' in parsed) {
      output.out(parsed.help)
      return EXIT.ok
    }
    const takeDaemon = () => {
      const taken = daemon
      daemon = undefined
      return taken
    }
    return await parsed.action({ output, env: process.env, takeDaemon })
  } finally {
    daemon?.dismiss()
  }
}

/** Arguments that mean that no daemon will be needed; a wrong guess only costs time. */
const NO_DAEMON = /^(?:--(?:foreground|debug|help|version)|-[A-Za-z]*[fdhV][A-Za-z]*)$/

async function startEarly(args: readonly string[]): Promise<WaitingDaemon | undefined> {
  if (args[0] !== 'mount' || args.length < 3 || args.some((arg) => NO_DAEMON.test(arg))) return undefined
  const { startDaemon } = await import('../daemon/background.js')
  return startDaemon()
}

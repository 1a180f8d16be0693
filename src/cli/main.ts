import { setImmediate as nextTurn } from 'node:timers/promises'
import type { WaitingDaemon } from '../daemon/background.js'
import { AbortedError, UsageError } from '../errors/errors.js'
import { describeError } from './describe-error.js'
import { hasVariables } from './environment.js'
import { EXIT, exitCodeOf } from './exit-codes.js'
import { isReaderGone, keepWriteErrors, processOutput, type Output } from './output.js'
import { readRawArgs } from './raw-args.js'

/**
 * Runs one command line and resolves with the exit code; never rejects. `args` are strings as
 * `readRawArgs` makes them.
 */
export async function main(args: readonly string[] = readRawArgs(), output: Output = processOutput): Promise<number> {
  if (output === processOutput) keepWriteErrors()
  if (args[0] === 'completion' && args[1] === 'answer') return answerShell(args.slice(2), output)
  const code = await runToEnd(args, output)
  // Errors of the last write come after it.
  await nextTurn()
  if (output.failure === undefined || isReaderGone(output.failure)) return code
  output.err(`pbsfs: standard output cannot be written: ${output.failure.message}\n`)
  return code === EXIT.ok ? EXIT.failed : code
}

async function runToEnd(args: readonly string[], output: Output): Promise<number> {
  try {
    // The daemon loads its modules while this process loads the parser.
    return await run(args, output, await startEarly(args))
  } catch (error) {
    if (output.failure !== undefined && error instanceof AbortedError) return EXIT.ok
    const debug = args.includes('-d') || args.includes('--debug') || /^(?:1|true|yes|on)$/i.test(process.env['PBSFS_DEBUG'] ?? '')
    output.err(`pbsfs: ${describeError(error, debug)}\n`)
    if (error instanceof UsageError && error.fields['remedy'] === undefined) output.err(await hint(args))
    return exitCodeOf(error)
  }
}

/** For the script of a completion: whatever goes wrong, a shell has no place to show it. */
async function answerShell([shell, ...args]: readonly string[], output: Output): Promise<number> {
  try {
    const { answer } = await import('./completion/answer.js')
    output.out(await answer(shell ?? '', args, process.env))
  } catch {
    output.out('words\n')
  }
  return EXIT.ok
}

async function hint(args: readonly string[]): Promise<string> {
  const { commandNames } = await import('./commands/commands.js')
  const [command] = args
  return `See: pbsfs ${command !== undefined && commandNames().has(command) ? `${command} ` : ''}--help\n`
}

async function run(given: readonly string[], output: Output, early: WaitingDaemon | undefined): Promise<number> {
  let daemon = early
  const takeDaemon = () => {
    const taken = daemon
    daemon = undefined
    return taken
  }
  const context = { output, env: process.env, takeDaemon }
  try {
    if (isPlainMount(given) && !hasVariables(process.env)) {
      const [{ mount }, { plainMountArguments }] = await Promise.all([import('./actions/mount.js'), import('./mount-arguments.js')])
      return await mount(plainMountArguments(given.slice(1)), context)
    }
    const [{ parseCommandLine }, { commandNames }, { asMountCommand }, { readVersion }, { asksForJson, withErrorDocument }] = await Promise.all([
      import('./program.js'),
      import('./commands/commands.js'),
      import('./mount-helper.js'),
      import('./version.js'),
      import('./json-errors.js'),
    ])
    const args = asMountCommand(given, commandNames()) ?? given
    const parse = () => parseCommandLine(args, readVersion(), output.columns, process.env)
    const parsed = await (asksForJson(args) ? withErrorDocument(output, parse) : parse())
    if ('help' in parsed) {
      output.out(parsed.help)
      return EXIT.ok
    }
    return await (parsed.json ? withErrorDocument(output, (watched) => parsed.action({ ...context, output: watched })) : parsed.action(context))
  } finally {
    daemon?.dismiss()
  }
}

/** `mount SOURCE MOUNTPOINT` and nothing else needs no parser, whose loading takes longer than the mount. */
function isPlainMount(args: readonly string[]): boolean {
  return args.length === 3 && args[0] === 'mount' && args.every((arg) => arg !== '' && !arg.startsWith('-'))
}

/** Arguments that mean that no daemon will be needed; a wrong guess only costs time. */
const NO_DAEMON = /^(?:--(?:foreground|debug|help|version)|-[A-Za-z]*[fdhV][A-Za-z]*|\/dev\/fd\/\d+)$/

async function startEarly(args: readonly string[]): Promise<WaitingDaemon | undefined> {
  if (args[0] !== 'mount' || args.length < 3 || args.some((arg) => NO_DAEMON.test(arg))) return undefined
  const { startDaemon } = await import('../daemon/background.js')
  return startDaemon()
}

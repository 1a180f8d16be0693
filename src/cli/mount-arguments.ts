import type { KeyArguments } from './keys/key-files.js'
import { readLockOptions, type LockChoice } from './lock-options.js'
import { lastOf, listOf } from './option-values.js'

/** What the command line gave, strings as in `raw-args.ts`. */
export interface MountArguments extends KeyArguments {
  readonly operands: readonly string[]
  readonly foreground: boolean
  readonly options: readonly string[]
  readonly cacheSize?: string | undefined
  readonly decoders?: string | undefined
  readonly driver?: string | undefined
  readonly payloadInput?: string | undefined
  readonly repository?: string | undefined
  readonly ns?: string | undefined
  readonly log?: string | undefined
  readonly logLevel?: string | undefined
  readonly force: boolean
  readonly lock?: LockChoice
  readonly damaged?: string | undefined
  readonly fallbacks?: readonly string[]
  readonly overlay?: string | undefined
  readonly debug: boolean
}

/** What the parser understood. */
export function readMountArguments(argv: Readonly<Record<string, unknown>>): MountArguments {
  const operands = [argv['source'], argv['mountpoint'], argv['more']]
  const debug = argv['debug'] === true
  return {
    operands: operands.filter((operand) => typeof operand === 'string'),
    foreground: argv['foreground'] === true || debug,
    options: listOf(argv['options']),
    cacheSize: lastOf(argv['cacheSize']),
    decoders: lastOf(argv['decoders']),
    driver: lastOf(argv['driver']),
    payloadInput: lastOf(argv['payloadInput']),
    repository: lastOf(argv['repository']),
    ns: lastOf(argv['ns']),
    log: lastOf(argv['log']),
    logLevel: lastOf(argv['logLevel']) ?? (debug || argv['verbose'] === true ? 'debug' : undefined),
    keyfiles: listOf(argv['keyfile']),
    keyfd: lastOf(argv['keyfd']),
    masterKeyfiles: listOf(argv['masterKeyfile']),
    force: argv['force'] === true,
    lock: readLockOptions(argv),
    damaged: lastOf(argv['damaged']),
    fallbacks: listOf(argv['fallback']),
    overlay: lastOf(argv['overlay']),
    debug,
  }
}

/** The same for a line without options. */
export function plainMountArguments(operands: readonly string[]): MountArguments {
  const [source, mountpoint] = operands
  return readMountArguments({ source, mountpoint })
}

import { UsageError } from '../errors/errors.js'
import { DAMAGE_OPTIONS, readDamageOptions, type DamageChoice } from './damage-options.js'
import type { KeyArguments } from './keys/key-files.js'
import { LOCK_OPTIONS, readLockOptions, type LockChoice } from './lock-options.js'
import { lastOf, listOf } from './option-values.js'

/** Options of every command that looks into a store without a mount. */
export const STORE_OPTIONS = {
  repository: { type: 'string', requiresArg: true, describe: 'Path or name of the store; SOURCE is then a place in it' },
  ns: { type: 'string', requiresArg: true, describe: 'With --repository: namespace SOURCE is in, like a/b' },
  'payload-input': { type: 'string', requiresArg: true, describe: 'The *.ppxar of a lone *.mpxar' },
  keyfile: { type: 'string', requiresArg: true, describe: 'Encryption key, or one printed on paper; may be repeated' },
  keyfd: { type: 'string', requiresArg: true, describe: 'Descriptor to read the encryption key from' },
  'master-keyfile': { type: 'string', requiresArg: true, describe: 'Private master key (PEM): opens backups that carry their key' },
  force: { type: 'boolean', describe: 'Show what contradicts its manifest or signature' },
  ...DAMAGE_OPTIONS,
  ...LOCK_OPTIONS,
  'cache-size': { type: 'string', requiresArg: true, describe: 'Memory for decoded chunks (default 256M)' },
  decoders: { type: 'string', requiresArg: true, describe: 'Decoding threads (default 2)' },
} as const

/** What the command line gave for them, strings as in `raw-args.ts`. */
export interface StoreArguments extends KeyArguments {
  readonly source: string
  readonly repository: string | undefined
  readonly ns: string | undefined
  readonly payloadInput: string | undefined
  readonly cacheSize: string | undefined
  readonly decoders: string | undefined
  readonly force: boolean
  readonly lock: LockChoice
  readonly damage: DamageChoice
}

/** What the parser understood. */
export function readStoreArguments(argv: Readonly<Record<string, unknown>>): StoreArguments {
  const source = lastOf(argv['source'])
  if (source === undefined || source === '') throw new UsageError('the source is missing')
  return {
    source,
    repository: lastOf(argv['repository']),
    ns: lastOf(argv['ns']),
    payloadInput: lastOf(argv['payloadInput']),
    cacheSize: lastOf(argv['cacheSize']),
    decoders: lastOf(argv['decoders']),
    keyfiles: listOf(argv['keyfile']),
    keyfd: lastOf(argv['keyfd']),
    masterKeyfiles: listOf(argv['masterKeyfile']),
    force: argv['force'] === true,
    lock: readLockOptions(argv),
    damage: readDamageOptions(argv),
  }
}

import { UsageError } from '../errors/errors.js'
import { DAMAGE_OPTIONS, readDamageOptions, type DamageChoice } from './damage-options.js'
import type { KeyArguments } from './keys/key-files.js'
import { LOCK_OPTIONS, readLockOptions, type LockChoice } from './lock-options.js'
import { lastOf, listOf } from './option-values.js'

/** Where SOURCE is. */
export const PLACE_OPTIONS = {
  repository: { type: 'string', requiresArg: true, describe: 'Path of the store, or its name on this host; SOURCE is then a place in it' },
  ns: { type: 'string', requiresArg: true, describe: 'With --repository: namespace SOURCE is in, like prod/eu' },
} as const

export const KEY_OPTIONS = {
  keyfile: { type: 'string', requiresArg: true, describe: 'Encryption key, or one printed on paper; may be repeated, each snapshot is opened with the key it names' },
  keyfd: { type: 'string', requiresArg: true, describe: 'Descriptor of the caller to read the encryption key from' },
  'master-keyfile': { type: 'string', requiresArg: true, describe: 'Private master key (PEM), opens backups that carry their key; may be repeated' },
  force: { type: 'boolean', describe: 'Show what contradicts its manifest or its signature, and say what' },
} as const

export const PAYLOAD_OPTION = { 'payload-input': { type: 'string', requiresArg: true, describe: 'The *.ppxar of a lone *.mpxar' } } as const

export const ENGINE_OPTIONS = {
  'cache-size': { type: 'string', requiresArg: true, describe: 'Memory for decoded chunks and directories: 64M or more, units K, M, G, T of 1024 (default 256M)' },
  decoders: { type: 'string', requiresArg: true, describe: 'Decoding threads, 1 to 64 (default 2)' },
} as const

/** Options of every command that looks into a store without a mount. */
export const STORE_OPTIONS = { ...PLACE_OPTIONS, ...PAYLOAD_OPTION, ...KEY_OPTIONS, ...DAMAGE_OPTIONS, ...LOCK_OPTIONS, ...ENGINE_OPTIONS } as const

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

/** What the parser understood. `isWhole`: without a SOURCE it is all of the store that is named elsewhere. */
export function readStoreArguments(argv: Readonly<Record<string, unknown>>, isWhole = false): StoreArguments {
  const source = lastOf(argv['source']) ?? (isWhole ? '' : undefined)
  if (source === undefined || (source === '' && !isWhole)) throw new UsageError('the source is missing')
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

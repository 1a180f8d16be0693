import { UsageError } from '../errors/errors.js'
import { lastOf, listOf } from './option-values.js'

/** For every command that reads contents of a datastore. */
export const DAMAGE_OPTIONS = {
  damaged: { choices: ['error', 'zero'], requiresArg: true, describe: 'zero: read lost bytes of files as zeros, and name each range; not for directories (default error)' },
  fallback: { type: 'string', requiresArg: true, describe: 'Another datastore, by path or name, whose chunks stand in for missing and bad ones; may be repeated' },
} as const

export interface DamageChoice {
  /** Absent: reading lost bytes fails. */
  readonly damaged?: 'zero'
  /** As given: paths or names of stores. */
  readonly fallbacks: readonly string[]
}

/** What the parser understood. UsageError when --damaged has another value. */
export function readDamageOptions(argv: Readonly<Record<string, unknown>>): DamageChoice {
  return chooseDamage(lastOf(argv['damaged']), listOf(argv['fallback']))
}

export function chooseDamage(damaged: string | undefined, fallbacks: readonly string[]): DamageChoice {
  if (damaged === undefined || damaged === 'error') return { fallbacks }
  if (damaged === 'zero') return { damaged, fallbacks }
  throw new UsageError(`--damaged: "${damaged}" is none of error, zero`)
}

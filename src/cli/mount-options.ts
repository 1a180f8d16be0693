import { UsageError } from '../errors/errors.js'
import { parseMountOptions, type MountOptions } from '../fuse/mount-options.js'

/** Options of pbsfs that may stand among the mount(8) options, so that a line of fstab can hold them. */
export const OWN_OPTIONS = ['cache-size', 'damaged', 'decoders', 'driver', 'fallback', 'keyfile', 'log', 'log-level', 'master-keyfile', 'overlay', 'payload-input'] as const
/** The same without a value. */
export const OWN_FLAGS = ['no-lock', 'require-lock'] as const
export type OwnFlag = (typeof OWN_FLAGS)[number]

export type OwnOption = (typeof OWN_OPTIONS)[number]

export interface SplitOptions {
  /** For the mount. */
  readonly mount: MountOptions
  /** For pbsfs itself; the last of several counts. */
  readonly own: Partial<Record<OwnOption, string>>
  readonly flags: ReadonlySet<OwnFlag>
  /** All of those that may be repeated. */
  readonly keyfiles: readonly string[]
  readonly masterKeyfiles: readonly string[]
  readonly fallbacks: readonly string[]
}

/** Reads all `-o` arguments. UsageError names a word that nobody knows. */
export function splitMountOptions(given: readonly string[]): SplitOptions {
  const own: Partial<Record<OwnOption, string>> = {}
  const flags = new Set<OwnFlag>()
  const all: [OwnOption, string][] = []
  const mount = parseMountOptions(given, (word, value) => {
    const spelled = word.replaceAll('_', '-')
    const flag = value === undefined ? OWN_FLAGS.find((known) => known === spelled) : undefined
    if (flag !== undefined) {
      flags.add(flag)
      return true
    }
    const name = OWN_OPTIONS.find((known) => known === spelled)
    if (name === undefined) return false
    if (value === undefined) throw new UsageError(`-o ${word} needs a value: ${word}=...`)
    own[name] = value
    all.push([name, value])
    return true
  })
  const listOf = (name: OwnOption) => all.filter(([given]) => given === name).map(([, value]) => value)
  return {
    mount,
    own,
    flags,
    keyfiles: listOf('keyfile'),
    masterKeyfiles: listOf('master-keyfile'),
    fallbacks: listOf('fallback'),
  }
}

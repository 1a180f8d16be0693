import { UsageError } from '../errors/errors.js'
import { parseMountOptions, type MountOptions } from '../fuse/mount-options.js'

/** Options of pbsfs that may stand among the mount(8) options, so that a line of fstab can hold them. */
export const OWN_OPTIONS = ['cache-size', 'decoders', 'driver', 'keyfile', 'log', 'log-level', 'master-keyfile', 'payload-input'] as const
export type OwnOption = (typeof OWN_OPTIONS)[number]

export interface SplitOptions {
  /** For the mount. */
  readonly mount: MountOptions
  /** For pbsfs itself; the last of several counts. */
  readonly own: Partial<Record<OwnOption, string>>
  /** All of those that may be repeated. */
  readonly keyfiles: readonly string[]
  readonly masterKeyfiles: readonly string[]
}

/** Reads all `-o` arguments. UsageError names a word that nobody knows. */
export function splitMountOptions(given: readonly string[]): SplitOptions {
  const own: Partial<Record<OwnOption, string>> = {}
  const all: [OwnOption, string][] = []
  const mount = parseMountOptions(given, (word, value) => {
    const name = OWN_OPTIONS.find((known) => known === word.replaceAll('_', '-'))
    if (name === undefined) return false
    if (value === undefined) throw new UsageError(`-o ${word} needs a value: ${word}=...`)
    own[name] = value
    all.push([name, value])
    return true
  })
  const listOf = (name: OwnOption) => all.filter(([given]) => given === name).map(([, value]) => value)
  return { mount, own, keyfiles: listOf('keyfile'), masterKeyfiles: listOf('master-keyfile') }
}

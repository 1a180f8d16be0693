import { escapeName } from '../bytes/names.js'
import { resolveSource } from '../source/resolve-source.js'
import { formatSelector, parseSource } from '../source/source-string.js'
import { decodeBytes, type MountConfig } from './mount-config.js'

export interface FoundSource {
  /** Canonical paths of what is read: the datastore, or the files of an archive. */
  readonly paths: readonly Uint8Array[]
  /** SOURCE in full, escaped: what the mount table and `status` show. */
  readonly shown: string
}

/** Rejects with what is wrong with SOURCE, before anything is mounted. */
export async function findSource(config: MountConfig): Promise<FoundSource> {
  const { text, cwd, payloadInput } = config.source
  const configDir = config.server?.configDir
  const source = await resolveSource(parseSource(decodeBytes(text)), {
    cwd: decodeBytes(cwd),
    ...(configDir === undefined ? {} : { configDir }),
    ...(payloadInput === undefined ? {} : { payloadInput: decodeBytes(payloadInput) }),
  })
  const paths = (source.kind === 'store' ? [source.path] : source.files).map((path) => Buffer.from(path))
  const inside = source.kind === 'store' ? formatSelector(source.selector) : escapeName(source.inside ?? Buffer.alloc(0))
  return { paths, shown: escapeName(paths[0] ?? Buffer.alloc(0)) + (inside === '' ? '' : `::${inside}`) }
}

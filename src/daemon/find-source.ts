import { escapeName } from '../bytes/names.js'
import { resolveSource } from '../source/resolve-source.js'
import { formatSelector, parseSource } from '../source/source-string.js'
import { decodeBytes, type MountConfig } from './mount-config.js'

export interface FoundSource {
  /** Canonical paths of what is read: the datastore and its fallbacks, or the files of an archive. */
  readonly paths: readonly Uint8Array[]
  /** SOURCE in full, escaped: what the mount table and `status` show. */
  readonly shown: string
}

/** Rejects with what is wrong with SOURCE, before anything is mounted. */
export async function findSource(config: MountConfig): Promise<FoundSource> {
  const { text, cwd, payloadInput } = config.source
  const configDir = config.server?.configDir
  const where = { cwd: decodeBytes(cwd), ...(configDir === undefined ? {} : { configDir }) }
  const source = await resolveSource(parseSource(decodeBytes(text)), {
    ...where,
    ...(payloadInput === undefined ? {} : { payloadInput: decodeBytes(payloadInput) }),
  })
  const paths = (source.kind === 'store' ? [source.path] : source.files).map((path) => Buffer.from(path))
  const inside = source.kind === 'store' ? formatSelector(source.selector) : escapeName(source.inside ?? Buffer.alloc(0))
  const shownPath = escapeName(paths[0] ?? Buffer.alloc(0))
  if (config.fallbacks !== undefined) {
    const { resolveFallbacks } = await import('../app/fallback-stores.js')
    for (const path of await resolveFallbacks(config.fallbacks.map(decodeBytes), where)) paths.push(Buffer.from(path))
  }
  return { paths, shown: shownPath + (inside === '' ? '' : `::${inside}`) }
}

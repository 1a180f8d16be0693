import { escapeName } from '../../bytes/names.js'
import { describeKey } from '../../keys/describe-key.js'
import { MAX_KEY_FILE_SIZE } from '../../keys/key-file.js'
import { isDirectory } from '../../browse/tree-view.js'
import { findKeys } from '../keys/key-files.js'
import { readSecretFile } from '../keys/read-secret.js'
import { withSource } from '../open-source.js'
import { readStoreArguments } from '../store-options.js'
import { bytesToArg } from '../raw-args.js'

/** Names offered at once; a shell shows no more. */
const MAX_NAMES = 2000

/** Looks nowhere: a default key may need a password, and nobody is asked for one here. */
const NO_DEFAULTS = { XDG_CONFIG_HOME: '/nonexistent', XDG_CONFIG_DIRS: '/nonexistent', CREDENTIALS_DIRECTORY: undefined }

/**
 * What continues `typed`, a path below `source` (an archive or more), folders with a slash behind
 * them. Only keys without a password are used. Rejects when the source cannot be opened.
 */
export async function listInside(source: string, typed: string, keyfiles: readonly string[], env: NodeJS.ProcessEnv): Promise<string[]> {
  const cut = typed.lastIndexOf('/') + 1
  const keyfile = findOpenKeys(keyfiles, env)
  const args = { ...readStoreArguments({ source, keyfile }), lock: 'none' as const, decoders: '1', cacheSize: '64M', force: true }
  const silent = { out: () => undefined, err: () => undefined, columns: undefined }
  const context = { env: { ...env, ...NO_DEFAULTS }, output: silent, takeDaemon: () => undefined }
  return withSource(args, context, async ({ view }) => {
    const names: string[] = []
    for await (const found of view.list(await view.resolve(Buffer.from(typed.slice(0, cut))))) {
      // Names that a terminal should not get are not offered.
      const name = escapeName(found.name)
      if (name.startsWith(typed.slice(cut)) && name === found.name.toString()) names.push(typed.slice(0, cut) + name + (isDirectory(found) ? '/' : ''))
      if (names.length === MAX_NAMES) break
    }
    return names
  })
}

function findOpenKeys(keyfiles: readonly string[], env: NodeJS.ProcessEnv): string[] {
  const places = findKeys({ keyfiles, masterKeyfiles: [] }, env).flatMap((place) => (place.kind === 'fd' ? [] : [place.path]))
  return places.filter(isOpen).map(bytesToArg)
}

function isOpen(path: Buffer): boolean {
  try {
    const { bytes } = readSecretFile(path, MAX_KEY_FILE_SIZE)
    const { protection } = describeKey(bytes, '')
    bytes.fill(0)
    return protection === 'none'
  } catch {
    return false
  }
}

import { basename } from 'node:path'
import { escapeName } from '../bytes/names.js'
import { openPlainFile } from '../source/plain-file-stream.js'
import type { ArchiveSource } from '../source/resolve-source.js'
import { linkPass } from '../tree/link-pass.js'
import { NodeRegistry } from '../tree/node-registry.js'
import { ROOT } from '../tree/tree.js'
import { enterArchive } from './enter-archive.js'
import { archiveSet, makeTree, processOwner } from './make-tree.js'
import type { OpenSettings, OpenTree } from './open-settings.js'

/** An archive that lies outside any datastore, as a tree. */
export async function openLoneArchive(source: ArchiveSource, settings: OpenSettings): Promise<OpenTree> {
  const files = await Promise.all(source.files.map((file) => openPlainFile(file)))
  const [meta, payload] = files
  const registry = new NodeRegistry()
  const archives = archiveSet(settings)
  const name = escapeName(Buffer.from(source.files[0]!))
  const spec = {
    key: name,
    name,
    openStreams: () => ({ meta: meta!, ...(payload === undefined ? {} : { payload }) }),
    countLinks: linkPass(undefined, basename(name)),
  }
  const opener = { mtimeSec: 0, open: () => archives.open(spec, ROOT) }
  const context = { registry, archives, owner: processOwner() }
  const close = async (): Promise<void> => {
    archives.close()
    await Promise.all(files.map((file) => file.close()))
  }
  try {
    const root = await enterArchive(opener, source.inside, context, name)
    return {
      tree: makeTree(root, context, settings, files.reduce((sum, file) => sum + file.size, 0)),
      cache: undefined,
      cacheUse: () => undefined,
      warmUp: () => undefined,
      loader: undefined,
      sources: () => [{ path: name, kind: 'archive file', state: 'ok' }],
      locks: () => undefined,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

import { keyOf } from '../bytes/names.js'
import { SourceError } from '../errors/errors.js'
import { formatSelector, LATEST, type Selector } from '../source/source-string.js'
import { ArchiveRoot } from '../tree/archive-root.js'
import { PartsDir } from '../tree/parts-dir.js'
import { SingleDir } from '../tree/single-dir.js'
import { SnapshotDir } from '../tree/snapshot-dir.js'
import type { StoreContext } from '../tree/store-context.js'
import { GroupDir, NamespaceDir, TypeDir } from '../tree/store-dirs.js'
import { ROOT } from '../tree/tree.js'
import type { VirtualNode } from '../tree/virtual-node.js'
import { enterArchive } from './enter-archive.js'

/** The root of the mount, and how many bytes it is known to show. */
export async function selectRoot(selector: Selector, context: StoreContext): Promise<{ root: VirtualNode; known: number }> {
  const { ns, type, id, archive, inside } = selector
  const { datastore } = context
  if (type === undefined) {
    if (ns.length > 0) await requireName((await datastore.listNamespaces(ns.slice(0, -1))).entries, ns.at(-1)!, selector)
    return { root: new NamespaceDir(ROOT, undefined, '', context, ns), known: 0 }
  }
  if (id === undefined) return { root: new TypeDir(ROOT, undefined, '', context, ns, type), known: 0 }
  const { entries: groups } = await datastore.listGroups(ns)
  const group = groups.find((candidate) => candidate.type === type && candidate.id === id)
  if (group === undefined) throw notThere(selector, 'there is no such group')
  if (selector.time === undefined) return { root: new GroupDir(ROOT, undefined, '', context, group), known: 0 }
  const { entries } = await datastore.listSnapshots(group)
  const time = selector.time === LATEST ? entries.at(-1)?.time : selector.time
  if (time === undefined) throw notThere(selector, 'the group has no finished snapshot')
  if (!entries.some((entry) => entry.time === time)) throw notThere(selector, 'there is no such finished snapshot')
  await context.holds?.of({ group, time }).enter()
  const snapshot = new SnapshotDir(ROOT, undefined, '', context, { group, time })
  if (archive === undefined) {
    await snapshot.requireTrust()
    await snapshot.registerArchives()
    return { root: snapshot, known: await snapshot.totalBytes() }
  }
  const found = await snapshot.findChild(archive)
  if (found === undefined) throw notThere(selector, 'there is no such archive in the snapshot')
  const node = found.child.make(ROOT, undefined, '')
  if (node instanceof ArchiveRoot) {
    return { root: await enterArchive(node.opener, inside, context, formatSelector({ ns, type, id, time, archive: found.name })), known: await snapshot.totalBytes() }
  }
  if (node instanceof PartsDir) {
    if (inside === undefined) return { root: node, known: 0 }
    const part = await node.child(keyOf(inside))
    if (part === undefined) throw notThere(selector, 'there is no such partition or volume')
    return { root: new SingleDir(ROOT, context.owner, inside, () => part.entry()), known: 0 }
  }
  if (inside !== undefined) throw notThere(selector, `${found.name} is a file, there is nothing inside`)
  const name = Buffer.from(found.name)
  const file = context.registry.intern(found.name, (fileId) => found.child.make(fileId, undefined, found.name))
  // What is wrong with it shows now.
  await (await file.content()).stream.prepare?.()
  const attr = await file.getattr()
  return { root: new SingleDir(ROOT, context.owner, name, () => file.entry()), known: attr.size }
}

async function requireName(names: readonly string[], name: string, selector: Selector): Promise<void> {
  if (!names.includes(name)) throw notThere(selector, 'there is no such namespace')
}

function notThere(selector: Selector, why: string): SourceError {
  const shown = formatSelector(selector)
  return new SourceError(`${shown}: ${why}`, { path: shown, operation: 'open', code: 'ENOENT' })
}

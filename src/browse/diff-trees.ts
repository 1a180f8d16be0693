import { equalBytes } from '../bytes/names.js'
import { PARTS_SUFFIX } from '../tree/archive-versions.js'
import { digestContent, identifyContent } from './content-identity.js'
import { isAboveArchives, isDirectory, isRegular, isSymlink, type Found, type TreeView } from './tree-view.js'

export type ChangedPart = 'type' | 'content' | 'target' | 'mode' | 'owner' | 'time' | 'device' | 'xattrs'

export type TreeChange =
  | { readonly kind: 'added' | 'removed'; readonly path: Buffer; readonly found: Found }
  | { readonly kind: 'changed'; readonly path: Buffer; readonly parts: readonly ChangedPart[]; readonly before: Found; readonly after: Found }
  /** The same content under another name. */
  | { readonly kind: 'moved'; readonly path: Buffer; readonly from: Buffer; readonly found: Found }

export interface DiffOptions {
  /** Read contents where neither metadata nor indices tell whether they are the same. */
  readonly readContent: boolean
  readonly onError: (error: unknown, path: Buffer) => void
}

/** What the server writes about a snapshot, and what is made of its archives. */
const RECORDS = new Set(['index.json', 'catalog.pcat1'])

/** Names of attributes that tell what the server knows of a snapshot. */
const OWN_ATTRIBUTES = 'user.pbs.'

interface Side {
  readonly view: TreeView
  readonly root: Found
}

/**
 * What differs between two trees, by path. The time of a folder alone is no difference: it tells that its entries
 * changed, and they are named. Contents of the same size and time are taken for the same unless `readContent`. Of what
 * lies above archives contents alone count: it has no times and owners of its own, and what is no part of the backup
 * (links to the newest, folders of partitions, what the server notes) is left out.
 */
export async function diffTrees(before: Side, after: Side, options: DiffOptions): Promise<TreeChange[]> {
  const changes: TreeChange[] = []
  const open: { readonly path: Buffer; readonly a: Found; readonly b: Found }[] = [{ path: Buffer.alloc(0), a: before.root, b: after.root }]
  while (open.length > 0) {
    const { path, a, b } = open.pop()!
    const parts = await compareEntries(before.view, a, after.view, b, options, path)
    if (parts.length > 0) changes.push({ kind: 'changed', path, parts, before: a, after: b })
    if (!isDirectory(a) || !isDirectory(b)) continue
    const old = await entriesOf(before.view, a, path, options)
    const below: typeof open = []
    for (const [key, found] of await entriesOf(after.view, b, path, options)) {
      const child = joinPath(path, found.name)
      const other = old.get(key)
      old.delete(key)
      if (other === undefined) await addAll('added', after.view, found, child, changes, options)
      else below.push({ path: child, a: other, b: found })
    }
    for (const found of old.values()) await addAll('removed', before.view, found, joinPath(path, found.name), changes, options)
    open.push(...below.reverse())
  }
  const all = await joinMoves(before.view, after.view, changes)
  return all.sort((a, b) => Buffer.compare(a.path, b.path))
}

/** An entry and, of a folder, everything below it. */
async function addAll(kind: 'added' | 'removed', view: TreeView, found: Found, path: Buffer, changes: TreeChange[], options: DiffOptions): Promise<void> {
  const open = [{ found, path }]
  while (open.length > 0) {
    const next = open.pop()!
    changes.push({ kind, ...next })
    if (!isDirectory(next.found)) continue
    for (const child of (await entriesOf(view, next.found, next.path, options)).values()) open.push({ found: child, path: joinPath(next.path, child.name) })
  }
}

async function entriesOf(view: TreeView, dir: Found, path: Buffer, { onError }: DiffOptions): Promise<Map<string, Found>> {
  const entries = new Map<string, Found>()
  try {
    for await (const found of view.list(dir)) {
      const name = found.name.toString('latin1')
      if (!isAboveArchives(found) || !isDerived(found, name)) entries.set(name, found)
    }
  } catch (error) {
    onError(error, path)
  }
  return entries
}

function isDerived(found: Found, name: string): boolean {
  if (isSymlink(found)) return true
  return isDirectory(found) ? name.endsWith(PARTS_SUFFIX) : RECORDS.has(name)
}

async function compareEntries(viewA: TreeView, a: Found, viewB: TreeView, b: Found, options: DiffOptions, path: Buffer): Promise<ChangedPart[]> {
  const [x, y] = [a.attr, b.attr]
  if ((x.mode & 0o170000) !== (y.mode & 0o170000)) return ['type']
  const parts: ChangedPart[] = []
  const sameTime = x.mtimeSec === y.mtimeSec && x.mtimeNsec === y.mtimeNsec
  try {
    if (isRegular(a) && (await contentDiffers(viewA, a, viewB, b, sameTime, options.readContent))) parts.push('content')
    if (isSymlink(a) && !equalBytes(await viewA.readlink(a), await viewB.readlink(b))) parts.push('target')
    if (x.major !== y.major || x.minor !== y.minor) parts.push('device')
    if (x.mode !== y.mode) parts.push('mode')
    if (x.uid !== y.uid || x.gid !== y.gid) parts.push('owner')
    if (!sameTime && !isDirectory(a) && !isAboveArchives(a)) parts.push('time')
    if (await xattrsDiffer(viewA, a, viewB, b)) parts.push('xattrs')
  } catch (error) {
    options.onError(error, path)
  }
  return parts
}

async function contentDiffers(viewA: TreeView, a: Found, viewB: TreeView, b: Found, sameTime: boolean, readContent: boolean): Promise<boolean> {
  const isAbove = isAboveArchives(a)
  if (a.attr.size !== b.attr.size && !isAbove) return true
  const [one, other] = [await identifyContent(viewA, a).catch(() => undefined), await identifyContent(viewB, b).catch(() => undefined)]
  if (one !== undefined && one === other) return false
  // Of a disk the digests of its chunks tell everything; anything else up there is small.
  if (isAbove && one !== undefined && other !== undefined) return true
  if (readContent || isAbove) return (await digestContent(viewA, a)) !== (await digestContent(viewB, b))
  return !sameTime
}

async function xattrsDiffer(viewA: TreeView, a: Found, viewB: TreeView, b: Found): Promise<boolean> {
  const [one, other] = [await ownXattrs(viewA, a), await ownXattrs(viewB, b)]
  if (one.length !== other.length) return true
  const values = new Map(other.map(([name, value]) => [Buffer.from(name).toString('latin1'), value]))
  return one.some(([name, value]) => {
    const match = values.get(Buffer.from(name).toString('latin1'))
    return match === undefined || !equalBytes(match, value)
  })
}

async function ownXattrs(view: TreeView, found: Found): Promise<(readonly [name: Uint8Array, value: Uint8Array])[]> {
  const all = await view.xattrs(found)
  return isAboveArchives(found) ? all.filter(([name]) => !Buffer.from(name).toString('latin1').startsWith(OWN_ATTRIBUTES)) : all
}

/** A file that went and one that came with the same content are one that moved. */
async function joinMoves(viewA: TreeView, viewB: TreeView, changes: readonly TreeChange[]): Promise<TreeChange[]> {
  const gone = new Map<string, Extract<TreeChange, { kind: 'added' | 'removed' }>[]>()
  for (const change of changes) {
    if (change.kind !== 'removed' || !isRegular(change.found) || change.found.attr.size === 0) continue
    const identity = await identifyContent(viewA, change.found).catch(() => undefined)
    if (identity !== undefined) gone.set(identity, [...(gone.get(identity) ?? []), change])
  }
  const moved = new Set<TreeChange>()
  const out: TreeChange[] = []
  for (const change of changes) {
    if (change.kind !== 'added' || !isRegular(change.found) || change.found.attr.size === 0 || gone.size === 0) continue
    const identity = await identifyContent(viewB, change.found).catch(() => undefined)
    const from = identity === undefined ? undefined : gone.get(identity)?.shift()
    if (from === undefined) continue
    moved.add(change)
    moved.add(from)
    out.push({ kind: 'moved', path: change.path, from: from.path, found: change.found })
  }
  return [...changes.filter((change) => !moved.has(change)), ...out]
}

function joinPath(path: Buffer, name: Buffer): Buffer {
  return path.length === 0 ? name : Buffer.concat([path, Buffer.from('/'), name])
}

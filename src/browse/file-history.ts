import { NodeError } from '../errors/errors.js'
import { digestContent, identifyContent } from './content-identity.js'
import { isDirectory, isRegular, type Found, type TreeView } from './tree-view.js'

/** What became of a file from one snapshot to the next. `metadata`: owner, mode or time, the content is the same. */
export type VersionState = 'first' | 'same' | 'metadata' | 'changed' | 'absent' | 'back' | 'unreadable'

export interface FileVersion {
  /** Name of the snapshot. */
  readonly snapshot: string
  readonly state: VersionState
  readonly found: Found | undefined
  /** The content was not read: it is taken for the same, because size and time are. */
  readonly assumed: boolean
  readonly problem?: unknown
}

interface Known {
  readonly found: Found
  readonly identity: string | undefined
}

/**
 * Every version of one path over the snapshots of a group, the oldest first. Told from metadata and from what the
 * indices say of the content; it is read only with `readContent`, where those leave it open.
 */
export async function* fileHistory(
  view: TreeView,
  snapshots: readonly Found[],
  path: Uint8Array,
  readContent: boolean,
): AsyncGenerator<FileVersion> {
  let known: Known | undefined
  let wasThere = false
  for (const snapshot of snapshots) {
    const name = snapshot.name.toString('latin1')
    let found: Found
    try {
      found = await view.resolve(path, snapshot)
    } catch (error) {
      const isAbsent = error instanceof NodeError && (error.errno === 'ENOENT' || error.errno === 'ENOTDIR')
      yield { snapshot: name, state: isAbsent ? 'absent' : 'unreadable', found: undefined, assumed: false, ...(isAbsent ? {} : { problem: error }) }
      wasThere &&= !isAbsent
      continue
    }
    const identity = await identifyContent(view, found).catch(() => undefined)
    const own: Known = { found, identity }
    const { state, assumed } = known === undefined ? { state: 'first' as const, assumed: false } : await compareVersions(view, known, own, readContent)
    yield { snapshot: name, state: known !== undefined && !wasThere ? 'back' : state, found, assumed }
    known = own
    wasThere = true
  }
}

async function compareVersions(view: TreeView, before: Known, now: Known, readContent: boolean): Promise<{ state: VersionState; assumed: boolean }> {
  const [a, b] = [before.found.attr, now.found.attr]
  const sameKind = (a.mode & 0o170000) === (b.mode & 0o170000)
  const sameMeta = a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && a.mtimeSec === b.mtimeSec && a.mtimeNsec === b.mtimeNsec
  if (!sameKind || (!isDirectory(now.found) && a.size !== b.size)) return { state: 'changed', assumed: false }
  if (!isRegular(now.found)) {
    const isLink = (a.mode & 0o170000) === 0o120000
    if (isLink && !Buffer.from(await view.readlink(before.found)).equals(await view.readlink(now.found))) return { state: 'changed', assumed: false }
    return { state: sameMeta ? 'same' : 'metadata', assumed: false }
  }
  const isKnown = before.identity !== undefined && before.identity === now.identity
  if (isKnown) return { state: sameMeta ? 'same' : 'metadata', assumed: false }
  if (readContent) {
    const same = (await digestContent(view, before.found)) === (await digestContent(view, now.found))
    return { state: !same ? 'changed' : sameMeta ? 'same' : 'metadata', assumed: false }
  }
  const sameTime = a.mtimeSec === b.mtimeSec && a.mtimeNsec === b.mtimeNsec
  return sameTime ? { state: sameMeta ? 'same' : 'metadata', assumed: true } : { state: 'changed', assumed: false }
}

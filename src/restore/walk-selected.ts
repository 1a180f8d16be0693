import { isAboveArchives, isDirectory, type Found, type TreeView } from '../browse/tree-view.js'
import { keyOf } from '../bytes/names.js'
import { PARTS_SUFFIX } from '../tree/archive-versions.js'
import type { PathSelection } from './path-selection.js'

const SLASH = Buffer.from('/')

/** A step of a walk: into a folder, to an entry that is none, or out of a folder again. */
export interface SelectedStep {
  readonly kind: 'enter' | 'entry' | 'leave'
  readonly found: Found
  /** From the root, without a slash in front; empty for the root. */
  readonly path: Buffer
  /** Wanted itself, not only for something that may be below it. */
  readonly chosen: boolean
  /** Set on `enter`: nothing below is wanted, and there is no `leave`. */
  skip: boolean
}

interface OpenFolder {
  readonly step: SelectedStep
  readonly entries: AsyncGenerator<Found>
}

/**
 * What a selection takes of a tree, in the order of the archive. Folders made of what is inside disk images are left
 * out: the images hold it. `onError`: a folder that cannot be read to its end; the walk goes on behind it.
 */
export async function* walkSelected(
  view: TreeView,
  root: Found,
  selection: PathSelection,
  onError: (error: unknown, path: Buffer) => void,
): AsyncGenerator<SelectedStep> {
  const open: OpenFolder[] = []
  const enter = (found: Found, path: Buffer, chosen: boolean): SelectedStep => {
    const step: SelectedStep = { kind: 'enter', found, path, chosen, skip: false }
    open.push({ step, entries: view.list(found) })
    return step
  }
  yield enter(root, Buffer.alloc(0), selection.isAll)
  while (open.length > 0) {
    const { step, entries } = open.at(-1)!
    const found = step.skip ? undefined : await nextOf(entries, step.path, onError)
    if (found === undefined) {
      open.pop()
      if (!step.skip) yield { ...step, kind: 'leave' }
      continue
    }
    const path = step.path.length === 0 ? found.name : Buffer.concat([step.path, SLASH, found.name])
    const isFolder = isDirectory(found)
    if (isFolder && isAboveArchives(found) && keyOf(found.name).endsWith(PARTS_SUFFIX)) continue
    const choice = selection.choose(path, isFolder, step.chosen)
    if (choice === 'none') continue
    if (isFolder) yield enter(found, path, choice === 'all')
    else yield { kind: 'entry', found, path, chosen: true, skip: false }
  }
}

async function nextOf(entries: AsyncGenerator<Found>, path: Buffer, onError: (error: unknown, path: Buffer) => void): Promise<Found | undefined> {
  try {
    const next = await entries.next()
    return next.done === true ? undefined : next.value
  } catch (error) {
    onError(error, path)
    return undefined
  }
}

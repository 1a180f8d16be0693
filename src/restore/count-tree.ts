import { isRegular, type Found, type TreeView } from '../browse/tree-view.js'
import type { PathSelection } from './path-selection.js'
import { walkSelected } from './walk-selected.js'

/** How much a restore has to do. */
export interface TreeCount {
  readonly entries: number
  readonly bytes: number
}

/**
 * Counts what a selection takes of a tree, from metadata alone. undefined: the names of some archive lie between its
 * contents, so that counting would be half of the work; or it was ended. What is damaged is left out.
 */
export async function countTree(view: TreeView, root: Found, selection: PathSelection, signal: AbortSignal): Promise<TreeCount | undefined> {
  let entries = 0
  let bytes = 0
  for await (const { kind, found, chosen } of walkSelected(view, root, selection, () => undefined)) {
    if (signal.aborted || (kind === 'enter' && !(await view.isQuickToWalk(found)))) return undefined
    if (kind === 'leave' || !chosen) continue
    entries++
    if (isRegular(found)) bytes += found.attr.size
  }
  return { entries, bytes }
}

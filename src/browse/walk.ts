import { isDirectory, type Found, type TreeView } from './tree-view.js'

const SLASH = Buffer.from('/')

/** Deeper trees than any file system can hold are not followed. */
const MAX_DEPTH = 10_000

/** Something met on a walk. */
export interface Step {
  readonly found: Found
  /** From where the walk began, without a slash in front; empty for the start itself. */
  readonly path: Buffer
  readonly depth: number
}

export interface WalkOptions {
  /** A directory that could not be read to its end; the walk goes on behind it. */
  readonly onError: (error: unknown, path: Buffer) => void
  /** False: what is in this directory is left out. */
  readonly enter?: (step: Step) => boolean
}

/** `start` and everything below it, each directory before what is in it, in the order of the archive. */
export async function* walk(view: TreeView, start: Found, options: WalkOptions): AsyncGenerator<Step> {
  const first: Step = { found: start, path: Buffer.alloc(0), depth: 0 }
  yield first
  if (!isDirectory(start) || options.enter?.(first) === false) return
  const open = [{ step: first, entries: view.list(start) }]
  while (open.length > 0) {
    const { step: dir, entries } = open.at(-1)!
    let next: IteratorResult<Found>
    try {
      next = await entries.next()
    } catch (error) {
      options.onError(error, dir.path)
      open.pop()
      continue
    }
    if (next.done === true) {
      open.pop()
      continue
    }
    const found = next.value
    const path = dir.path.length === 0 ? found.name : Buffer.concat([dir.path, SLASH, found.name])
    const step: Step = { found, path, depth: dir.depth + 1 }
    yield step
    if (isDirectory(found) && step.depth < MAX_DEPTH && options.enter?.(step) !== false) {
      open.push({ step, entries: view.list(found) })
    }
  }
}

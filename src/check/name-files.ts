import { isRegular, type Found, type TreeView } from '../browse/tree-view.js'
import { walk } from '../browse/walk.js'
import { isPbsfsError, KeyError, NodeError } from '../errors/errors.js'
import type { LostBytes } from './report.js'

/** Files that lost bytes hit, by their path in the archive: its size and time, as another snapshot may have it. */
export interface NamedFiles {
  readonly hits: ReadonlyMap<string, Found | undefined>
  /** Why they cannot be named, or not all of them. */
  readonly unnamed: string | undefined
}

const NO_KEY = 'without its key the files cannot be named'

/**
 * Walks an archive and finds the files with lost bytes. `lost`: of the stream that contents are in, by the name its
 * stream has; folders whose entries cannot be read are named, too.
 */
export async function nameFiles(view: TreeView, archive: Found, lost: readonly { readonly stream: string; readonly ranges: readonly LostBytes[] }[]): Promise<NamedFiles> {
  const hits = new Map<string, Found | undefined>()
  let locked = false
  const onError = (error: unknown, dir: Buffer): void => {
    if (error instanceof KeyError || (error instanceof NodeError && error.errno === 'EACCES')) locked = true
    else hits.set(key(dir, true), undefined)
  }
  try {
    for await (const { found, path } of walk(view, archive, { onError })) {
      if (!isRegular(found) || found.attr.size === 0) continue
      if (await isHit(view, found, lost)) hits.set(key(path, false), found)
    }
    return { hits, unnamed: locked ? NO_KEY : undefined }
  } catch (error) {
    if (!isPbsfsError(error)) throw error
    return { hits, unnamed: error instanceof KeyError ? NO_KEY : error.message }
  }
}

async function isHit(view: TreeView, file: Found, lost: readonly { readonly stream: string; readonly ranges: readonly LostBytes[] }[]): Promise<boolean> {
  try {
    const { stream, start, size } = await view.content(file)
    const ranges = lost.find(({ stream: name }) => stream.name.endsWith(name))?.ranges ?? []
    return overlaps(ranges, start, start + size)
  } catch (error) {
    if (!isPbsfsError(error) || error instanceof KeyError) throw error
    // What leads to the content is lost.
    return true
  }
}

/** Ranges are ascending. */
function overlaps(ranges: readonly LostBytes[], start: number, end: number): boolean {
  let low = 0
  let high = ranges.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ranges[middle]!.end <= start) low = middle + 1
    else high = middle
  }
  return low < ranges.length && ranges[low]!.start < end
}

/** Paths as map keys; that of a folder ends in a slash. */
function key(path: Buffer, folder: boolean): string {
  return folder ? `${path.length === 0 ? '.' : path.toString('latin1')}/` : path.toString('latin1')
}

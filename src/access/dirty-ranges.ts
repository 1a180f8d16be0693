import { changedRanges, type ImageVersion } from '../browse/diff-images.js'
import { RangeList } from '../bytes/range-list.js'

/**
 * The bytes of `now` that a copy of `base` lacks, in whole chunks, ascending, none behind the end of `now`; all of
 * them when there is no base. `tried`: states that the copy may hold parts of, because a run to one of them failed; what
 * only they have changed is told, too. UnsupportedError when the indices cannot tell (`whyNotComparable`).
 */
export async function dirtyRanges(base: ImageVersion | undefined, now: ImageVersion, tried: readonly ImageVersion[] = []): Promise<RangeList> {
  if (base === undefined) {
    const all = new RangeList()
    all.add(0, now.size)
    return all
  }
  let ranges = await changedRanges(base, now)
  for (const version of tried) ranges = ranges.union(await changedRanges(base, version))
  return ranges.clip(now.size)
}

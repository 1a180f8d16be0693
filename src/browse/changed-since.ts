import type { RangeList } from '../bytes/range-list.js'
import { archivesOf } from '../source/archives.js'
import { changedRanges, imageVersionOf, whyNotComparable } from './diff-images.js'
import { findDisks, type DiskSearch, type FoundDisk } from './find-disks.js'
import type { SnapshotSummary } from './list-snapshots.js'

/**
 * Where a disk differs from what it was in another snapshot of its machine, from the two indices alone; a text: why that
 * cannot be told. What only the larger of the two has counts as changed.
 */
export async function changedSince(disk: FoundDisk, before: SnapshotSummary, search: DiskSearch): Promise<RangeList | string> {
  if (!archivesOf(before).some(({ name, kind }) => name === disk.image && kind === 'image')) return 'it was not there then'
  const [earlier] = await findDisks(before, { ns: [], archive: disk.image }, search)
  const [one, other] = await Promise.all([earlier!.content(), disk.content()])
  const [then, now] = [await imageVersionOf(one.stream), await imageVersionOf(other.stream)]
  return whyNotComparable(then, now) ?? changedRanges(then, now)
}

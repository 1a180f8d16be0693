import type { PxarArchive } from './archive.js'
import { ITEM_ENTRY, ITEM_ENTRY_V1, ITEM_FILENAME, ITEM_GOODBYE, ITEM_HARDLINK, ITEM_PAYLOAD, ITEM_PAYLOAD_REF, ITEM_SYMLINK, ITEM_DEVICE } from './format.js'
import { walkItems, type WalkOptions } from './walk-items.js'

/** Items that are no extended attribute, ACL or capability. */
const PLAIN: ReadonlySet<number> = new Set([
  ITEM_ENTRY, ITEM_ENTRY_V1, ITEM_FILENAME, ITEM_GOODBYE, ITEM_HARDLINK, ITEM_PAYLOAD, ITEM_PAYLOAD_REF, ITEM_SYMLINK, ITEM_DEVICE,
]) // prettier-ignore

/**
 * Does anything in the archive have an extended attribute, an ACL or a capability? One pass over the
 * metadata, which ends at the first; rejects as `walkItems` does.
 */
export async function hasAttributes(archive: PxarArchive, options: WalkOptions = {}): Promise<boolean> {
  let found = false
  await walkItems(archive, (item) => !(found = !PLAIN.has(item)), options)
  return found
}

import { realpathSync } from 'node:fs'

const SLASH = 0x2f

/** A path from the root on with its links resolved, as far as it is there; the rest stays as it is. */
export function canonicalPath(path: Buffer): Buffer {
  for (let end = path.length; end > 1; end = path.lastIndexOf(SLASH, end - 1)) {
    try {
      const there = realpathSync.native(path.subarray(0, end), { encoding: 'buffer' })
      const rest = path.subarray(end)
      return there.length === 1 && rest.length > 0 ? Buffer.from(rest) : Buffer.concat([there, rest])
    } catch {
      // Not there: look further up.
    }
  }
  return Buffer.from(path)
}

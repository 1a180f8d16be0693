import { unescapeName } from '../bytes/names.js'
import { decodeBytes, type MountConfig } from './mount-config.js'
import { joinBytes } from './mountpoint.js'

/** Canonicalisable path of what SOURCE reads; undefined when it names no path. */
export function findSourcePath(config: MountConfig): Uint8Array | undefined {
  const text = decodeBytes(config.source.text).toString('latin1')
  const path = unescapeName(text.split('::')[0]!)
  return path[0] === 0x2f ? path : joinBytes(decodeBytes(config.source.cwd), path)
}

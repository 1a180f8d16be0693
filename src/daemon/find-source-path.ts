import { decodeBytes, type MountConfig } from './mount-config.js'
import { joinBytes } from './mountpoint.js'
import { parseSource } from '../source/source-string.js'

/** Canonicalisable path of what SOURCE reads; undefined when it names no path. */
export function findSourcePath(config: MountConfig): Uint8Array | undefined {
  const { path } = parseSource(decodeBytes(config.source.text))
  return path[0] === 0x2f ? path : joinBytes(decodeBytes(config.source.cwd), path)
}

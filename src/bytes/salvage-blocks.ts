import { isDamage } from '../errors/is-damage.js'
import type { LostRange, ReadAt, Salvaged } from './read-at.js'

/** What a disk loses at a time, at least. */
const BLOCK = 4096

/** `ReadAt.salvage` for a stream that has none: block by block where the whole cannot be read. */
export async function salvageBlocks(stream: ReadAt, offset: number, length: number): Promise<Salvaged> {
  try {
    return { bytes: await stream.read(offset, length), lost: [] }
  } catch (error) {
    if (!isDamage(error)) throw error
  }
  const bytes = new Uint8Array(length)
  const lost: LostRange[] = []
  for (let at = offset; at < offset + length; ) {
    const part = Math.min(BLOCK - (at % BLOCK), offset + length - at)
    try {
      bytes.set(await stream.read(at, part), at - offset)
    } catch (error) {
      if (!isDamage(error)) throw error
      lost.push({ offset: at, length: part, error })
    }
    at += part
  }
  return { bytes, lost }
}

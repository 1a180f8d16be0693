import { constants, readFileSync } from 'node:fs'
import type { ReadAt } from '../bytes/read-at.js'
import { escapeName } from '../bytes/names.js'
import { BusyError, TargetError, UsageError } from '../errors/errors.js'
import { SystemFile } from './block-file.js'
import { BlockMap } from './block-map.js'
import { CowDisk } from './cow-disk.js'
import { BLOCK_SIZE, type MapHeader } from './map-header.js'

/** Behind the name of a file of blocks: the map of which of them it has. */
export const MAP_SUFFIX = '.map'

const READ_WRITE = constants.O_RDWR | constants.O_NOFOLLOW
const CREATE = READ_WRITE | constants.O_CREAT

/** The image a disk lies over. */
export type ImageOfDisk = Pick<MapHeader, 'size' | 'identity' | 'image'>

/**
 * Opens the overlay of an image, or makes it: `path`, a sparse file of the image's size, and its map `path.map`. UsageError when
 * it is the overlay of another image, BusyError when somebody else has it open.
 */
export async function openOverlay(path: Buffer, wanted: ImageOfDisk, backup: ReadAt): Promise<CowDisk> {
  const mapPath = Buffer.concat([path, Buffer.from(MAP_SUFFIX)])
  const mapFile = await SystemFile.open(mapPath, CREATE)
  try {
    if (!mapFile.lock()) throw new BusyError(`${escapeName(path)}: somebody else uses this overlay`, { path: escapeName(path) })
    const isNew = mapFile.size === 0
    const map = isNew ? undefined : await BlockMap.open(mapFile, escapeName(mapPath), bootId())
    if (map !== undefined) checkSameImage(map.header, wanted, path)
    const data = await SystemFile.open(path, isNew ? CREATE : READ_WRITE)
    try {
      if (isNew && data.size !== 0 && data.size !== wanted.size) {
        throw new UsageError(`${escapeName(path)} is there already and is no overlay`, { remedy: 'Choose another name, or remove it.' })
      }
      if (!isNew && data.size !== wanted.size) throw new TargetError(`${escapeName(path)} has ${data.size} bytes, its map says ${wanted.size}`)
      await data.truncate(wanted.size)
      return new CowDisk(backup, data, map ?? (await BlockMap.create(mapFile, { ...wanted, blockSize: BLOCK_SIZE }, bootId())))
    } catch (error) {
      await data.close()
      throw error
    }
  } catch (error) {
    await mapFile.close()
    throw error
  }
}

/** UsageError when a map is that of another image. */
export function checkSameImage(found: MapHeader, wanted: ImageOfDisk, path: Buffer): void {
  if (found.identity === wanted.identity && found.size === wanted.size) return
  throw new UsageError(`${escapeName(path)} belongs to another image: ${found.image}, not ${wanted.image}`, {
    remedy: 'Choose another name for this one, or remove that file and its map when what was written to it is not needed.',
  })
}

/** Differs after each start of the host. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
}

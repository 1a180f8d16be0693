import { constants, readFileSync } from 'node:fs'
import type { ReadAt } from '../bytes/read-at.js'
import { escapeName } from '../bytes/names.js'
import { parentOf } from '../bytes/paths.js'
import { BusyError, TargetError, UsageError } from '../errors/errors.js'
import type { FileUser } from '../posix/file-users.js'
import { refuseInsideStore } from '../posix/outside-stores.js'
import { SystemFile } from './block-file.js'
import { BlockMap } from './block-map.js'
import { CowDisk } from './cow-disk.js'
import { BLOCK_SIZE, type MapHeader } from './map-header.js'

/** Behind the name of a file of blocks: the map of which of them it has. */
export const MAP_SUFFIX = '.map'

const READ_WRITE = constants.O_RDWR | constants.O_NOFOLLOW
const CREATE = READ_WRITE | constants.O_CREAT

/** The image a disk lies over. */
export type ImageOfDisk = Pick<MapHeader, 'size' | 'identity' | 'image' | 'purpose'>

/**
 * Opens the overlay of an image, or makes it: `path`, a sparse file of the image's size, and its map `path.map`. UsageError when
 * it is the overlay of another image, BusyError when somebody else has it open.
 */
export async function openOverlay(path: Buffer, wanted: ImageOfDisk, backup: ReadAt): Promise<CowDisk> {
  refuseInsideStore(path)
  const mapPath = mapPathOf(path)
  const mapFile = await openMap(mapPath, (holder) => overlayInUse(path, holder))
  const isNew = mapFile.size === 0
  try {
    const map = isNew ? undefined : await BlockMap.open(mapFile, escapeName(mapPath), bootId())
    if (map !== undefined) checkSameImage(map.header, wanted, path)
    const data = await SystemFile.open(path, isNew ? CREATE : READ_WRITE)
    try {
      // One whose making was cut off holds nothing yet.
      if (isNew && (!data.stat.isFile() || data.stat.blocks > 0 || (data.size !== 0 && data.size !== wanted.size))) {
        throw new UsageError(`${escapeName(path)} is there already and is no overlay`, { remedy: 'Choose another name, or remove it.' })
      }
      if (!isNew && data.size !== wanted.size) throw new TargetError(`${escapeName(path)} has ${data.size} bytes, its map says ${wanted.size}`)
      refuseUsed(data, path)
      if (isNew) await data.truncate(wanted.size)
      const opened = map ?? (await BlockMap.create(mapFile, { ...wanted, blockSize: BLOCK_SIZE }, bootId()))
      // Also of one that was made by somebody who ended before he could see to that.
      await SystemFile.syncFolder(parentOf(path))
      return new CowDisk(backup, data, opened)
    } catch (error) {
      await data.close()
      throw error
    }
  } catch (error) {
    await closeMap(mapFile, mapPath, isNew)
    throw error
  }
}

/** Opens a map, or makes an empty one, and makes it ours. Rejects with `inUse` when somebody else has it. */
export async function openMap(path: Buffer, inUse: (holder: number | undefined) => BusyError): Promise<SystemFile> {
  const file = await SystemFile.open(path, CREATE)
  // Whoever had it may have removed it between the two.
  if (file.lock() && file.stat.nlink > 0) return file
  const holder = file.lockHolder()
  await file.close()
  throw inUse(holder)
}

/** Gives back a map that was opened for nothing; one that was begun says nothing yet, and would keep others from making one. */
export async function closeMap(file: SystemFile, path: Buffer, isNew: boolean): Promise<void> {
  if (isNew) SystemFile.remove(path)
  await file.close()
}

/** BusyError when somebody uses a file that is to be written to, `others` among them. It is ours from then on. */
export function refuseUsed(file: SystemFile, path: Buffer, others?: FileUser): void {
  const user = file.claim() ?? others
  if (user === undefined) return
  const { message, remedy } = user
  throw new BusyError(`${escapeName(path)}: ${message}; nothing was written`, { path: escapeName(path), ...(remedy === undefined ? {} : { remedy }) })
}

export function mapPathOf(path: Buffer): Buffer {
  return Buffer.concat([path, Buffer.from(MAP_SUFFIX)])
}

/** `holder`: a process, when it is known. */
export function overlayInUse(path: Buffer, holder: number | undefined): BusyError {
  const shown = escapeName(path)
  const who = holder === undefined ? 'somebody else' : `process ${holder}`
  return new BusyError(`${shown}: ${who} uses this overlay`, { path: shown, holder, remedy: 'End the mount, or the server, that has it.' })
}

const OTHER_NAME = 'Choose another name for this one, or drop that one when what was written to it is not needed: pbsfs overlay drop.'

/** UsageError when a map is that of another image, or of something else than is wanted. `remedy`: what helps with another image. */
export function checkSameImage(found: MapHeader, wanted: ImageOfDisk, path: Buffer, remedy = OTHER_NAME): void {
  if (found.purpose !== wanted.purpose) {
    const [is, advice] =
      found.purpose === 'restore'
        ? ['a restore --live of this disk that is not complete', 'The same restore goes on with it.']
        : ['an overlay', 'Choose another name.']
    throw new UsageError(`${escapeName(path)} is ${is}`, { remedy: advice })
  }
  if (found.identity === wanted.identity && found.size === wanted.size) return
  const shown = escapeName(path)
  if (found.image === wanted.image) {
    throw new UsageError(`${shown} belongs to another image: ${found.image} of another store, or one that was there before it was removed or replaced`, {
      remedy: found.purpose === 'restore' ? 'Choose another target, or remove the file and its map.' : 'Without that backup what was written says little; pbsfs overlay drop removes it.',
    })
  }
  throw new UsageError(`${shown} belongs to another image: ${found.image}, not ${wanted.image}`, { remedy })
}

/** Differs after each start of the host. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
}

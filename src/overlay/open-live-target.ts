import { constants } from 'node:fs'
import type { ReadAt } from '../bytes/read-at.js'
import { escapeName } from '../bytes/names.js'
import { parentOf } from '../bytes/paths.js'
import { BusyError, TargetError, UsageError } from '../errors/errors.js'
import { findLoopDevice } from '../posix/file-users.js'
import { SystemFile } from './block-file.js'
import { BlockMap } from './block-map.js'
import { CowDisk } from './cow-disk.js'
import { BLOCK_SIZE } from './map-header.js'
import { bootId, checkSameImage, closeMap, openMap, refuseUsed, type ImageOfDisk } from './open-overlay.js'

const READ_WRITE = constants.O_RDWR | constants.O_NOFOLLOW
/** Of a block device: unless somebody uses it. */
const EXCLUSIVE = constants.O_RDWR | constants.O_EXCL

export interface LiveTarget {
  /** File or block device. */
  readonly path: Buffer
  readonly isDevice: boolean
  /** Where it is kept what is there already; gone when all is. */
  readonly mapPath: Buffer
  /** Something that is there already may be lost. */
  readonly overwrite: boolean
}

/**
 * Opens what an image is restored to while it is used, or goes on with it where an earlier run has left it. UsageError
 * when something else is there, BusyError when somebody uses it.
 */
export async function openLiveTarget(target: LiveTarget, image: Omit<ImageOfDisk, 'purpose'>, backup: ReadAt): Promise<CowDisk> {
  const wanted: ImageOfDisk = { ...image, purpose: 'restore' }
  const inUse = (): BusyError => new BusyError(`${escapeName(target.path)}: another restore is writing there`, { path: escapeName(target.path) })
  const mapFile = await openMap(target.mapPath, inUse)
  const isNew = mapFile.size === 0
  try {
    const map = isNew ? undefined : await BlockMap.open(mapFile, escapeName(target.mapPath), bootId())
    if (map !== undefined) checkSameImage(map.header, wanted, target.path)
    const file = await openData(target, wanted.size, isNew)
    try {
      const opened = map ?? (await BlockMap.create(mapFile, { ...wanted, blockSize: BLOCK_SIZE }, bootId()))
      for (const made of target.isDevice ? [target.mapPath] : [target.mapPath, target.path]) await SystemFile.syncFolder(parentOf(made))
      return new CowDisk(backup, file, opened)
    } catch (error) {
      await file.close()
      throw error
    }
  } catch (error) {
    await closeMap(mapFile, target.mapPath, isNew)
    throw error
  }
}

async function openData({ path, isDevice, overwrite }: LiveTarget, size: number, isNew: boolean): Promise<SystemFile> {
  const shown = escapeName(path)
  if (isDevice) {
    if (isNew && !overwrite) throw new UsageError(`${shown} is a block device; its first ${size} bytes would be overwritten: give --overwrite if that is meant`)
    const device = await openDevice(path)
    return checked(device, () => {
      refuseUsed(device, path)
      if (device.size < size) throw new UsageError(`${shown} has ${device.size} bytes, the image ${size}; nothing was written`, { remedy: 'Take a larger device.' })
    })
  }
  const file = isNew ? await createFile(path, overwrite) : await SystemFile.open(path, READ_WRITE)
  return checked(file, async () => {
    refuseUsed(file, path, findLoopDevice(file.stat))
    if (isNew) {
      // What was there before leaves no byte behind.
      await file.truncate(0)
      await file.truncate(size)
    } else if (file.size !== size) {
      throw new TargetError(`${shown} has ${file.size} bytes, the image ${size}; it is not what the restore has begun`, { path: shown })
    }
  })
}

async function checked(file: SystemFile, check: () => Promise<void> | void): Promise<SystemFile> {
  try {
    await check()
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** BusyError when it is mounted, or somebody else has it for himself. */
async function openDevice(path: Buffer): Promise<SystemFile> {
  try {
    return await SystemFile.open(path, EXCLUSIVE)
  } catch (error) {
    if (!(error instanceof TargetError) || error.fields['code'] !== 'EBUSY') throw error
    throw new BusyError(`${escapeName(path)} is mounted or in use; nothing was written`, { path: escapeName(path) }, { cause: error })
  }
}

async function createFile(path: Buffer, overwrite: boolean): Promise<SystemFile> {
  try {
    return await SystemFile.open(path, READ_WRITE | constants.O_CREAT | (overwrite ? 0 : constants.O_EXCL))
  } catch (error) {
    if (!(error instanceof TargetError) || error.fields['code'] !== 'EEXIST') throw error
    throw new UsageError(`${escapeName(path)} is there already, and no restore of it is under way`, { remedy: '--overwrite starts anew.' }, { cause: error })
  }
}

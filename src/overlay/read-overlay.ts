import { constants, lstatSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import type { ReadAt } from '../bytes/read-at.js'
import { FormatError, TargetError, UsageError } from '../errors/errors.js'
import { SystemFile } from './block-file.js'
import { BlockMap, type ReadMap } from './block-map.js'
import { CowDisk } from './cow-disk.js'
import { CowStream } from './cow-stream.js'
import { decodeHeader, HEADER_SIZE, isMapHeader, type MapHeader } from './map-header.js'
import { bootId, checkSameImage, MAP_SUFFIX, mapPathOf, overlayInUse, type ImageOfDisk } from './open-overlay.js'

const READ_ONLY = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
const SUFFIX = Buffer.from(MAP_SUFFIX)

/** The map of an overlay, open to be looked at. */
export interface OpenMap {
  readonly file: SystemFile
  readonly header: MapHeader
}

/** What an overlay is called by: the file itself, also when its map was named. */
export function overlayPathOf(path: Buffer): Buffer {
  const isMap = path.subarray(-SUFFIX.length).equals(SUFFIX)
  return isMap && !isThere(mapPathOf(path)) ? path.subarray(0, -SUFFIX.length) : path
}

/** Opens the map of an overlay. UsageError when there is no overlay at this path, FormatError when its map is damaged. */
export async function openMap(path: Buffer): Promise<OpenMap> {
  const mapPath = mapPathOf(path)
  const shown = escapeName(path)
  if (!isThere(mapPath)) {
    const remedy = 'Name the file that was given to --overlay, or the folder.'
    throw new UsageError(isThere(path) ? `${shown} is no overlay: there is no ${escapeName(mapPath)}` : `${shown} is not there`, { remedy })
  }
  if (!lstatSync(mapPath).isFile()) throw new UsageError(`${shown} is no overlay: ${escapeName(mapPath)} is no regular file`)
  const file = await SystemFile.open(mapPath, READ_ONLY)
  try {
    const head = Buffer.alloc(HEADER_SIZE)
    await file.read(head, 0)
    if (!isMapHeader(head)) throw new UsageError(`${shown} is no overlay: ${escapeName(mapPath)} is something else`)
    const { header } = decodeHeader(head, escapeName(mapPath))
    return { file, header }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Which blocks are in an overlay. FormatError when that cannot be told. */
export function readMap(path: Buffer, { file }: OpenMap): Promise<ReadMap> {
  return BlockMap.read(file, escapeName(mapPathOf(path)), bootId())
}

/** What an overlay has written lies in a regular file of the disk's size. Rejects with what is wrong about it. */
export function checkDataFile(path: Buffer, { size }: MapHeader): void {
  const shown = escapeName(path)
  if (!isThere(path)) throw new FormatError(`${shown} is missing; its map is there`, { path: shown })
  const stat = lstatSync(path)
  if (!stat.isFile()) throw new FormatError(`${shown} is no regular file; its map says that it is one`, { path: shown })
  if (stat.size !== size) throw new FormatError(`${shown} has another size than its map says`, { path: shown, expected: size, actual: stat.size })
}

/** Is there an overlay at this path, or the map of one, whatever its state? What is written there would destroy it. */
export async function isPartOfOverlay(path: Buffer): Promise<boolean> {
  for (const candidate of [path, mapPathOf(path)]) {
    if (!isThere(candidate) || !lstatSync(candidate).isFile()) continue
    const file = await SystemFile.open(candidate, READ_ONLY)
    try {
      const head = Buffer.alloc(HEADER_SIZE)
      await file.read(head, 0)
      if (isMapHeader(head)) return true
    } finally {
      await file.close()
    }
  }
  return false
}

/** An overlay that nobody changes meanwhile. */
export interface OverlayReader {
  readonly header: MapHeader
  /** The disk with all that was written to it; UsageError when `backup` is another image than its own. */
  over(image: ImageOfDisk, backup: ReadAt): CowStream
  close(): Promise<void>
}

/** Opens an overlay to read it; neither it nor its map changes. BusyError when somebody uses it. */
export async function openOverlayReader(path: Buffer): Promise<OverlayReader> {
  const open = await openMap(path)
  const { file, header } = open
  let data: SystemFile | undefined
  try {
    // Others may read it as well.
    if (!file.lock('shared')) throw overlayInUse(path, file.lockHolder())
    if (header.purpose === 'restore') throw new UsageError(`${escapeName(path)} is a restore --live that is not complete`, { remedy: 'The same restore goes on with it.' })
    checkDataFile(path, header)
    const { map } = await readMap(path, open)
    data = await SystemFile.open(path, READ_ONLY)
    if (data.size !== header.size) throw new TargetError(`${escapeName(path)} changes its size`, { path: escapeName(path) })
    const opened = data
    return {
      header,
      over: (image, backup) => {
        checkSameImage(header, image, path, 'Name the store alone, or the image it belongs to.')
        return new CowStream(backup.name, new CowDisk(backup, opened, map), backup)
      },
      close: async () => {
        await opened.close()
        await file.close()
      },
    }
  } catch (error) {
    await data?.close()
    await file.close()
    throw error
  }
}

/** A name, whatever it is of. */
export function isThere(path: Buffer): boolean {
  try {
    lstatSync(path)
    return true
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'EIO'
    if (code === 'ENOENT') return false
    const shown = escapeName(path)
    throw new TargetError(`${shown}: cannot look there (${code})`, { path: shown, operation: 'look', code }, { cause: error })
  }
}

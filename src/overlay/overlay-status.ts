import { readdirSync, statSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { joinBytes } from '../bytes/paths.js'
import { TargetError, UsageError } from '../errors/errors.js'
import { checkDataFile, openMap, readMap } from './read-overlay.js'
import { MAP_SUFFIX } from './open-overlay.js'

/** Folders below each other in a tree of overlays; a store has at most eight namespaces of two names, and three names more. */
const MAX_DEPTH = 40

/** What is known of an overlay without its backup. */
export interface OverlayStatus {
  readonly path: Buffer
  /** Where its image is in the store, escaped. */
  readonly image: string
  /** Tells the image from any other. */
  readonly identity: string
  /** An overlay lives beside its image; what a restore --live has begun becomes the disk. */
  readonly purpose: 'overlay' | 'restore'
  /** Bytes of the disk. */
  readonly size: number
  /** Bytes of it that were written, in whole blocks. */
  readonly bytesWritten: number
  /** Bytes of those that a loss of power may undo; when the host was started anew since, bytes that are lost so. */
  readonly bytesUnsafe: number
  /** No: the host was started anew since it was written to. */
  readonly isSameBoot: boolean
  readonly inUse: boolean
  /** The process that uses it, as far as that can be told. */
  readonly holder: number | undefined
}

/** Looks at one overlay and changes nothing. Rejects with what is wrong with it. */
export async function inspectOverlay(path: Buffer): Promise<OverlayStatus> {
  const open = await openMap(path)
  try {
    const { header, file } = open
    const holder = file.lockHolder()
    const inUse = holder !== undefined || (await isLocked(path))
    checkDataFile(path, header)
    const { map, unsafe, isSameBoot } = await readMap(path, open)
    const { size, blockSize, image, identity, purpose = 'overlay' } = header
    return {
      path, image, identity, purpose, size, isSameBoot, inUse, holder,
      bytesWritten: Math.min(size, map.count * blockSize),
      bytesUnsafe: Math.min(size, unsafe * blockSize),
    } // prettier-ignore
  } finally {
    await open.file.close()
  }
}

/** Where holders are not told: a lock of a moment tells that there is one. */
async function isLocked(path: Buffer): Promise<boolean> {
  const { file } = await openMap(path)
  try {
    return !file.lock('shared')
  } finally {
    await file.close()
  }
}

/** Paths in a folder that have a file `.map` beside them, sorted; `inspectOverlay` tells which are overlays. Links are not followed. */
export function findOverlays(folder: Buffer): Buffer[] {
  const found: Buffer[] = []
  walk(folder, 0, found)
  return found
}

function walk(folder: Buffer, depth: number, found: Buffer[]): void {
  const shown = escapeName(folder)
  if (depth > MAX_DEPTH) throw new UsageError(`${shown}: folders are nested too deep for a folder of overlays`, { expected: MAX_DEPTH })
  for (const { name, isFolder, isFile } of entriesOf(folder, shown)) {
    const path = joinBytes(folder, name)
    if (isFolder) walk(path, depth + 1, found)
    else if (isFile && name.length > MAP_SUFFIX.length && name.toString('latin1').endsWith(MAP_SUFFIX)) found.push(path.subarray(0, -MAP_SUFFIX.length))
  }
}

function entriesOf(folder: Buffer, shown: string): { readonly name: Buffer; readonly isFolder: boolean; readonly isFile: boolean }[] {
  try {
    const entries = readdirSync(folder, { encoding: 'buffer', withFileTypes: true })
    return entries
      .map((entry) => ({ name: Buffer.from(entry.name), isFolder: entry.isDirectory(), isFile: entry.isFile() }))
      .sort((a, b) => a.name.compare(b.name))
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'EIO'
    throw new TargetError(`${shown}: cannot read the folder (${code})`, { path: shown, operation: 'read', code }, { cause: error })
  }
}

export function isFolder(path: Buffer): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

import { closeSync, constants, fstatSync, fsyncSync, openSync } from 'node:fs'
import type { Found, TreeView } from '../browse/tree-view.js'
import { escapeName } from '../bytes/names.js'
import { BusyError, UsageError } from '../errors/errors.js'
import { files } from '../posix/files.js'
import { compareContent } from './compare-content.js'
import { refuseInUse } from './refuse-in-use.js'
import { targetError } from './target-error.js'
import { copyContent } from './write-content.js'

const ZEROS = Buffer.alloc(1024 * 1024)

export interface DeviceOptions {
  readonly signal: AbortSignal
  readonly onBytes: (count: number) => void
}

/**
 * Writes a whole file or image onto a block device, from its beginning; what lies behind stays as it is. BusyError when
 * the device is mounted or in use otherwise, UsageError when it is too small. On the disk when it resolves.
 */
export async function restoreDevice(view: Pick<TreeView, 'content'>, found: Found, path: Buffer, { signal, onBytes }: DeviceOptions): Promise<void> {
  const shown = escapeName(path)
  const content = await view.content(found)
  let fd: number
  try {
    // For a device, O_EXCL without O_CREAT means: unless somebody uses it.
    fd = openSync(path, constants.O_WRONLY | constants.O_EXCL)
  } catch (error) {
    const { code, errno } = error as NodeJS.ErrnoException
    if (code === 'EBUSY') throw new BusyError(`${shown} is mounted or in use; nothing was written`, { path: shown })
    throw targetError('open the device', shown, errno ?? -5)
  }
  try {
    refuseInUse(fd, fstatSync(fd), shown)
    const size = files().seekEnd(fd)
    if (size < content.size) {
      throw new UsageError(`${shown} has ${size} bytes, the image ${content.size}; nothing was written`, { remedy: 'Take a larger device.' })
    }
    await copyContent(fd, content, { signal, path: shown, onBytes, writeZeros: async (device, offset, length) => writeZeros(device, offset, length, shown) })
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Compares a device with what was written onto it; a sentence when it differs. */
export async function verifyDevice(view: TreeView, found: Found, path: Buffer, { signal, onBytes }: DeviceOptions): Promise<string | undefined> {
  const fd = openSync(path, constants.O_RDONLY)
  try {
    return await compareContent(fd, await view.content(found), { signal, path: escapeName(path), onBytes })
  } finally {
    closeSync(fd)
  }
}

/** Zeros the way the file or device does it fastest. */
export function writeZeros(fd: number, offset: number, length: number, path: string): void {
  if (files().punchHole(fd, offset, length) >= 0) return
  for (let done = 0; done < length; ) {
    const result = files().pwrite(fd, ZEROS, Math.min(ZEROS.length, length - done), offset + done)
    if (result <= 0) throw targetError('write', path, result)
    done += result
  }
}

import { closeSync, constants, openSync, readFileSync, readSync, writeFileSync } from 'node:fs'
import { escapeName } from '../bytes/names.js'
import { BusyError, MountError } from '../errors/errors.js'
import { errnoName, libc } from '../fuse/libc.js'

/* Requests and structures of linux/loop.h. */
const LOOP_CTL_GET_FREE = 0x4c82
const LOOP_CONFIGURE = 0x4c0a
const LOOP_CLR_FD = 0x4c01
const LO_FLAGS_READ_ONLY = 1
const LO_FLAGS_PARTSCAN = 8
/** struct loop_config: file, size of blocks, struct loop_info64, room for more. */
const CONFIG = { size: 304, fd: 0, blockSize: 4, flags: 60, fileName: 64, maxFileName: 63 } as const

/** Others may take the device that was free a moment ago. */
const MAX_TRIES = 16
/** What a sequential reader of the device has under way: a few chunks. */
const READ_AHEAD_KB = 4096
/** udev looks at a new device, and at one that changes, for a moment. */
const CLEAR_WAIT_MS = 3_000
const CLEAR_PAUSE_MS = 20

/**
 * A read-only loop device over the file, with nodes for its partitions; returns its number. It is
 * configured in one call, so no other program ever sees it half made or writable. It does not
 * clear itself: nobody has it open until it is used. Reads go through the page cache of the file,
 * which loads ahead and keeps what is read again; direct ones were slower. MountError with a remedy.
 */
export function attachLoop(file: Buffer): number {
  const backing = openSync(file, constants.O_RDONLY)
  try {
    const config = Buffer.allocUnsafeSlow(CONFIG.size).fill(0)
    config.writeUInt32LE(backing, CONFIG.fd)
    config.writeUInt32LE(sectorSizeOf(backing), CONFIG.blockSize)
    config.writeUInt32LE(LO_FLAGS_READ_ONLY | LO_FLAGS_PARTSCAN, CONFIG.flags)
    file.copy(config, CONFIG.fileName, 0, CONFIG.maxFileName)
    const number = configureFree(config, escapeName(file))
    raiseReadAhead(number)
    return number
  } finally {
    closeSync(backing)
  }
}

function configureFree(config: Buffer, shown: string): number {
  const control = openDevice('/dev/loop-control')
  try {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const number = libc().ioctl(control, LOOP_CTL_GET_FREE, null)
      if (number < 0) throw loopError('no loop device is free', number, shown)
      const device = openDevice(devicePath(number))
      try {
        const result = libc().ioctl(device, LOOP_CONFIGURE, config)
        if (result >= 0) return number
        if (errnoName(result) !== 'EBUSY') throw loopError(`${devicePath(number)} cannot be set up`, result, shown)
      } finally {
        closeSync(device)
      }
    }
    throw new MountError('every loop device was taken by somebody else', { path: shown, remedy: 'Try again.' })
  } finally {
    closeSync(control)
  }
}

/**
 * Takes the file away from a device. BusyError when it is mounted or held. Resolves with false
 * when some process still has it open: it goes when that closes it.
 */
export async function detachLoop(number: number): Promise<boolean> {
  const path = devicePath(number)
  const device = openExclusively(path)
  try {
    const result = libc().ioctl(device, LOOP_CLR_FD, null)
    if (result < 0 && errnoName(result) !== 'ENXIO') throw loopError(`${path} cannot be cleared`, result, path)
  } finally {
    closeSync(device)
  }
  for (const end = Date.now() + CLEAR_WAIT_MS; Date.now() < end; ) {
    if (backingFile(number) === undefined) return true
    await new Promise((resolve) => setTimeout(resolve, CLEAR_PAUSE_MS))
  }
  return backingFile(number) === undefined
}

/** The file behind a loop device, as the kernel names it; undefined: not in use. */
export function backingFile(number: number): Buffer | undefined {
  try {
    const file = readFileSync(`/sys/block/loop${number}/loop/backing_file`)
    return file.subarray(0, file.length - 1)
  } catch {
    return undefined
  }
}

export function devicePath(number: number): string {
  return `/dev/loop${number}`
}

function openDevice(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    const why = code === 'EACCES' || code === 'EPERM' ? 'Run it as root.' : 'Load the module first: modprobe loop'
    throw new MountError(`${path} cannot be opened (${code})`, { path, remedy: why }, { cause: error })
  }
}

/** Fails for a device that is mounted, or that another one is made of. */
function openExclusively(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_EXCL)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EBUSY') throw new BusyError(`${path} is in use`, { path }, { cause: error })
    throw new MountError(`${path} cannot be opened (${code})`, { path }, { cause: error })
  }
}

/** The kernel reads a GPT in sectors of the device: 4096 when it lies where such a disk has it. */
function sectorSizeOf(fd: number): number {
  const isGptAt = (offset: number): boolean => {
    const bytes = Buffer.alloc(8)
    return readSync(fd, bytes, 0, 8, offset) === 8 && bytes.toString('latin1') === 'EFI PART'
  }
  return !isGptAt(512) && isGptAt(4096) ? 4096 : 512
}

function raiseReadAhead(number: number): void {
  try {
    writeFileSync(`/sys/block/loop${number}/queue/read_ahead_kb`, String(READ_AHEAD_KB))
  } catch {
    // Slower, that is all.
  }
}

function loopError(problem: string, result: number, path: string): MountError {
  const code = errnoName(result)
  const remedy = code === 'EACCES' || code === 'EPERM' ? 'Run it as root.' : 'Linux 5.8 or later is needed.'
  return new MountError(`${problem} (${code})`, { path, code, remedy })
}

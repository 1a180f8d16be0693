import { existsSync, readdirSync, readFileSync, statSync, type Stats } from 'node:fs'
import { tryLock } from './flock.js'
import { bindCall, type Raw } from './koffi.js'

const BLOCK_DEVICES = '/sys/block'

/** Who uses a file, as the end of a sentence that begins with its name, and what can be done about it. */
export interface FileUser {
  readonly message: string
  readonly remedy?: string
}

/**
 * Makes a file ours until the descriptor is closed, for those who ask in the same way; undefined then. Else who uses it:
 * another pbsfs, or a program with locks on it as QEMU has while a machine runs. Of a block device only locks of ranges are
 * looked for: opened with O_EXCL, it is nobody else's as far as the kernel knows. Touches no other file.
 */
export function claimFile(fd: number, stat: Stats): FileUser | undefined {
  if (hasRecordLock(fd)) {
    return { message: 'another program has locked it, as QEMU does while a machine runs', remedy: 'Turn the machine off first, or end that program.' }
  }
  return stat.isFile() && tryLock(fd, 'exclusive') === 'EAGAIN' ? { message: 'another program has locked it' } : undefined
}

/**
 * The loop device that shows a file. Looks at the files behind all of them: not for those who serve a mount, for one of these may lie
 * on it.
 */
export function findLoopDevice(stat: Stats): FileUser | undefined {
  const device = stat.isFile() ? loopDeviceOf(stat) : undefined
  return device === undefined ? undefined : { message: `it is in use by /dev/${device}`, remedy: `Remove it with: losetup -d /dev/${device}` }
}

/** Of an open file description, asked for: who has a lock that stands in the way (fcntl(2)). */
const F_OFD_GETLK = 36
const F_WRLCK = 1
const F_UNLCK = 2

/** `struct flock` of 64-bit Linux: type (i16), whence (i16), start (i64), length (i64; 0: to the end), pid (i32). */
const FLOCK_SIZE = 32

let fcntl: Raw | undefined

/** Has anybody else locked a part of the file with locks of ranges? False where the file system has none. */
function hasRecordLock(fd: number): boolean {
  fcntl ??= bindCall('int fcntl(int, int, void *)')
  const lock = Buffer.alloc(FLOCK_SIZE)
  lock.writeInt16LE(F_WRLCK, 0)
  return fcntl(fd, F_OFD_GETLK, lock) >= 0 && lock.readInt16LE(0) !== F_UNLCK
}

function loopDeviceOf({ dev, ino }: Stats): string | undefined {
  const devices = existsSync(BLOCK_DEVICES) ? readdirSync(BLOCK_DEVICES).filter((name) => name.startsWith('loop')) : []
  return devices.find((device) => {
    const backing = statBacking(device)
    return backing?.dev === dev && backing.ino === ino
  })
}

/** The file behind a loop device; undefined: there is none. */
function statBacking(device: string): Stats | undefined {
  try {
    const name = readFileSync(`${BLOCK_DEVICES}/${device}/loop/backing_file`)
    return statSync(name.subarray(0, name.length - 1), { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

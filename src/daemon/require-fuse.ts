import { closeSync, existsSync, openSync } from 'node:fs'
import { MountError } from '../errors/errors.js'

const FUSE_DEVICE = '/dev/fuse'

/** MountError with the remedy unless the FUSE device is there and may be used. */
export function requireFuseDevice(device: string = FUSE_DEVICE): void {
  try {
    closeSync(openSync(device, 'r+'))
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    const [why, remedy] =
      code === 'ENOENT'
        ? ['is not there', 'Load the kernel module (modprobe fuse); in a container, start it with --device /dev/fuse.']
        : code === 'EACCES' || code === 'EPERM'
          ? ['may not be used by this user', `Allow it (chmod 666 ${device}); in a container, allow the device.`]
          : [`cannot be opened (${code})`, 'Load the kernel module: modprobe fuse']
    throw new MountError(`${device} ${why}`, { path: device, code, remedy }, { cause: error })
  }
}

/** MountError with the remedy unless the helper that mounts for ordinary users is in PATH. */
export function requireFusermount(searchPath: string = process.env['PATH'] ?? ''): void {
  for (const folder of [...searchPath.split(':'), '/bin', '/usr/bin']) {
    if (folder.startsWith('/') && existsSync(`${folder}/fusermount3`)) return
  }
  throw new MountError('fusermount3 is not there; an ordinary user cannot mount without it', {
    remedy: 'Install the package fuse3, or run pbsfs as root.',
  })
}

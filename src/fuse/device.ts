import { writevSync } from 'node:fs'
import { errnoOfSystemError, libc } from './libc.js'

/**
 * The kernel's end as a session sees it; a test plays it with arrays. Results are byte counts
 * or negative errnos, never a throw.
 */
export interface FuseDevice {
  /** One whole request into `into`, or -EAGAIN when none waits. */
  read(into: Uint8Array): number
  /** One whole reply: `bytes[0, length)`. */
  write(bytes: Uint8Array, length: number): number
  /** One whole reply in two pieces. */
  writeParts(head: Uint8Array, body: Uint8Array): number
}

/** An open /dev/fuse, mounted and not blocking. */
export function openDevice(fd: number): FuseDevice {
  const { read, write } = libc()
  return {
    read: (into) => read(fd, into, into.length),
    write: (bytes, length) => write(fd, bytes, length),
    writeParts(head, body) {
      try {
        return writevSync(fd, [head, body])
      } catch (error) {
        return -errnoOfSystemError(error)
      }
    },
  }
}

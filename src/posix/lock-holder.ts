import { fstatSync, readFileSync } from 'node:fs'

/** `1: FLOCK  ADVISORY  WRITE 708 08:01:1234 0 EOF`; proc_locks(5). Those who wait have an arrow in front. */
const LINE = /^\d+: FLOCK +\w+ +\w+ +(\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /

/**
 * The process that has a lock of flock(2) on what `fd` is open on. undefined: nobody has, or it cannot be told (another
 * PID namespace, another host, a file system with device numbers of its own).
 */
export function findLockHolder(fd: number): number | undefined {
  let text: string
  try {
    text = readFileSync('/proc/locks', 'latin1')
  } catch {
    return undefined
  }
  const { dev, ino } = fstatSync(fd, { bigint: true })
  // As the C library takes a dev_t apart, makedev(3).
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n)
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n)
  for (const line of text.split('\n')) {
    const match = LINE.exec(line)
    if (match === null || BigInt(match[4]!) !== ino) continue
    const [pid, onMajor, onMinor] = [Number(match[1]), BigInt(`0x${match[2]!}`), BigInt(`0x${match[3]!}`)]
    if (pid > 0 && onMajor === major && onMinor === minor) return pid
  }
  return undefined
}

import { readFileSync } from 'node:fs'

/** One line of /proc/self/mountinfo. Paths are bytes, unescaped. */
export interface MountEntry {
  readonly id: number
  readonly parentId: number
  /** st_dev of the mount, also the name of its backing device info. */
  readonly major: number
  readonly minor: number
  readonly mountpoint: Buffer
  readonly options: string
  /** With subtype: `fuse.pbsfs`. */
  readonly type: string
  readonly source: Buffer
  readonly superOptions: string
}

/** Type string of our mounts. */
export const PBSFS_TYPE = 'fuse.pbsfs'

/** Fields in front of the optional ones, and behind the `-` that ends those. */
const LEADING = 6
const TRAILING = 3

/** Lines that are not as they should be are left out. */
export function parseMountinfo(text: Buffer): MountEntry[] {
  const out: MountEntry[] = []
  for (const line of text.toString('latin1').split('\n')) {
    const fields = line.split(' ')
    const dash = fields.indexOf('-', LEADING)
    if (dash < 0 || fields.length < dash + 1 + TRAILING) continue
    const [id, parentId, device, , mountpoint, options] = fields as [string, string, string, string, string, string]
    const [type, source, superOptions] = fields.slice(dash + 1) as [string, string, string]
    const [major, minor] = device.split(':')
    out.push({
      id: Number(id),
      parentId: Number(parentId),
      major: Number(major),
      minor: Number(minor),
      mountpoint: unescapeOctal(mountpoint),
      options,
      type,
      source: unescapeOctal(source),
      superOptions,
    })
  }
  return out
}

/** Mounts of this process's namespace; reading them touches none of them. */
export function readMountinfo(): MountEntry[] {
  return parseMountinfo(readFileSync('/proc/self/mountinfo'))
}

/** Mounts of a type, in the order they were made. */
export function findMounts(type: string = PBSFS_TYPE): MountEntry[] {
  return readMountinfo().filter((entry) => entry.type === type)
}

/** The mount that is visible at `path` (absolute, canonical bytes), if one starts there. */
export function findMountAt(path: Uint8Array, entries: readonly MountEntry[] = readMountinfo()): MountEntry | undefined {
  return entries.findLast((entry) => entry.mountpoint.equals(path))
}

/** Undoes the kernel's escapes of space, tab, newline, backslash and `#`. */
function unescapeOctal(field: string): Buffer {
  return Buffer.from(
    field.replace(/\\([0-7]{3})/g, (_all, digits: string) => String.fromCharCode(parseInt(digits, 8))),
    'latin1',
  )
}

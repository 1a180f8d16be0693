import { escapeName } from '../bytes/names.js'

/** Longest part of a file name that comes from the disk, in bytes as escaped; a name has 255. */
const MAX_PART = 100

/** Text from the disk as a part of a file name: what is not printable, and slashes, as `\xNN`. */
export function namePart(bytes: Uint8Array): string {
  const escaped = escapeName(bytes).replaceAll('/', '\\x2f')
  let part = ''
  // By pieces that belong together, so that neither a character nor an escape is cut in two.
  for (const [piece] of escaped.matchAll(/\\x[0-9a-f]{2}|[^]/gu)) {
    if (Buffer.byteLength(part) + Buffer.byteLength(piece) > MAX_PART) return `${part}~`
    part += piece
  }
  return part
}

/** `p3-root.ext4`; without a label `p3.ext4`. */
export function volumeName(prefix: string, label: Uint8Array | undefined, extension: string): string {
  return `${prefix}${label === undefined || label.length === 0 ? '' : `-${namePart(label)}`}.${extension}`
}

/** `group-volume` as the device mapper joins them: their own dashes are doubled, so no two are alike. */
export function logicalName(group: Uint8Array, volume: Uint8Array): string {
  return [group, volume].map((part) => namePart(part).replaceAll('-', '--')).join('-')
}

/** Gives each name once: what is taken gets `~2`, `~3` in front of its extension. */
export class NameSet {
  readonly #taken = new Set<string>()

  add(name: string): string {
    const dot = name.lastIndexOf('.')
    let free = name
    for (let i = 2; this.#taken.has(free); i++) free = `${name.slice(0, dot)}~${i}${name.slice(dot)}`
    this.#taken.add(free)
    return free
  }
}

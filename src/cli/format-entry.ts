import { escapeName } from '../bytes/names.js'
import type { Attr } from '../tree/tree.js'

const KINDS: Readonly<Record<number, readonly [letter: string, name: EntryKindName]>> = {
  0o100000: ['-', 'file'], 0o040000: ['d', 'directory'], 0o120000: ['l', 'symlink'], 0o010000: ['p', 'fifo'],
  0o140000: ['s', 'socket'], 0o020000: ['c', 'char'], 0o060000: ['b', 'block'],
} // prettier-ignore

export type EntryKindName = 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'char' | 'block' | 'unknown'

/** `-rwsr-xr-x` */
export function formatMode(mode: number): string {
  const letter = KINDS[mode & 0o170000]?.[0] ?? '?'
  const bits = [0o400, 0o200, 0o100, 0o040, 0o020, 0o010, 0o004, 0o002, 0o001].map((bit, i) => ((mode & bit) === 0 ? '-' : 'rwx'[i % 3]!))
  const special = (at: number, bit: number, set: string): void => {
    if ((mode & bit) !== 0) bits[at] = bits[at] === 'x' ? set : set.toUpperCase()
  }
  special(2, 0o4000, 's')
  special(5, 0o2000, 's')
  special(8, 0o1000, 't')
  return letter + bits.join('')
}

export function kindName(mode: number): EntryKindName {
  return KINDS[mode & 0o170000]?.[1] ?? 'unknown'
}

/** `2026-01-02 03:04:05` in local time, or with a Z in UTC. Times that no calendar holds as seconds. */
export function formatTime(sec: number, utc: boolean): string {
  const date = new Date(sec * 1000)
  if (Number.isNaN(date.getTime())) return `@${sec}`
  if (utc) return date.toISOString().slice(0, 19).replace('T', ' ') + 'Z'
  const two = (value: number): string => String(value).padStart(2, '0')
  const day = `${String(date.getFullYear()).padStart(4, '0')}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

/** An entry for programs; names are escaped as everywhere (`\xNN`), `nameHex` has the bytes where that matters. */
export interface EntryDocument {
  readonly path: string
  /** Only when the path is not plain UTF-8. */
  readonly pathHex?: string
  readonly type: EntryKindName
  /** Permission bits, octal. */
  readonly mode: string
  readonly uid: number
  readonly gid: number
  readonly size: number
  /** Seconds, with nine digits behind the point. */
  readonly mtime: string
  readonly links: number
  readonly device?: { readonly major: number; readonly minor: number }
  readonly target?: string
}

export function entryDocument(path: Uint8Array, attr: Attr, target?: Uint8Array): EntryDocument {
  const shown = escapeName(path)
  const type = kindName(attr.mode)
  return {
    path: shown,
    ...(shown.includes('\\') ? { pathHex: Buffer.from(path).toString('hex') } : {}),
    type,
    mode: (attr.mode & 0o7777).toString(8).padStart(4, '0'),
    uid: attr.uid,
    gid: attr.gid,
    size: attr.size,
    mtime: formatStamp(attr.mtimeSec, attr.mtimeNsec),
    links: attr.nlink,
    ...(type === 'char' || type === 'block' ? { device: { major: attr.major, minor: attr.minor } } : {}),
    ...(target === undefined ? {} : { target: escapeName(target) }),
  }
}

/** Seconds since 1970 with nine digits behind the point; before it, still counted forward: -1.5 s is `-2.500000000`. */
export function formatStamp(sec: number, nsec: number): string {
  return `${sec}.${String(nsec).padStart(9, '0')}`
}

/** A row of `ls -l`. */
export function entryRow(name: Uint8Array, attr: Attr, utc: boolean, target?: Uint8Array): string[] {
  const isDevice = (attr.mode & 0o170000) === 0o020000 || (attr.mode & 0o170000) === 0o060000
  const size = isDevice ? `${attr.major}, ${attr.minor}` : String(attr.size)
  const link = target === undefined ? '' : ` -> ${escapeName(target)}`
  return [formatMode(attr.mode), String(attr.nlink), String(attr.uid), String(attr.gid), size, formatTime(attr.mtimeSec, utc), escapeName(name) + link]
}

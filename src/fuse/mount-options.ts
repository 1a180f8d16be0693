import { UsageError } from '../errors/errors.js'

/** What `-o` asked for, mount(8) words. */
export interface MountOptions {
  /** MS_* flags of mount(2). */
  readonly flags: number
  readonly allowOther: boolean
  /** undefined: not said; on together with allow_other. */
  readonly defaultPermissions: boolean | undefined
  readonly maxRead: number | undefined
  readonly fsname: string | undefined
  readonly uid: number | undefined
  readonly gid: number | undefined
  readonly umask: number | undefined
  /** Mount over a directory that is not empty. */
  readonly nonempty: boolean
  /** SELinux words, passed on as they are. */
  readonly contexts: readonly string[]
  /** Words that were understood and have no effect here. */
  readonly ignored: readonly string[]
}

export const MS_RDONLY = 1
export const MS_NOSUID = 2
export const MS_NODEV = 4
export const MS_NOEXEC = 8
export const MS_SYNCHRONOUS = 16
export const MS_DIRSYNC = 128
export const MS_NOSYMFOLLOW = 256
export const MS_NOATIME = 1024
export const MS_NODIRATIME = 2048

/** Always set: a set-user-id program or a device node of a backup must not work here. */
const DEFAULT_FLAGS = MS_RDONLY | MS_NOSUID | MS_NODEV

const FLAG_WORDS = new Map<string, number>([
  ['ro', MS_RDONLY], ['nosuid', MS_NOSUID], ['nodev', MS_NODEV], ['noexec', MS_NOEXEC], ['sync', MS_SYNCHRONOUS],
  ['dirsync', MS_DIRSYNC], ['nosymfollow', MS_NOSYMFOLLOW], ['noatime', MS_NOATIME], ['nodiratime', MS_NODIRATIME],
]) // prettier-ignore

/**
 * Words of fstab and of mount helpers that mean nothing to a read-only file system, and those
 * that would weaken it: mount.fuse3 adds `dev` and `suid` to every line that does not deny them.
 */
const IGNORED_WORDS = new Set([
  'defaults', 'rw', 'dev', 'suid', 'exec', 'async', 'atime', 'diratime', 'relatime', 'norelatime', 'strictatime',
  'nostrictatime', 'lazytime', 'nolazytime', 'user', 'users', 'nouser', 'owner', 'noowner', 'group', 'nogroup',
  'auto', 'noauto', 'nofail', '_netdev', 'silent', 'loud', 'mand', 'nomand', 'iversion', 'noiversion',
  'auto_unmount', 'symfollow', 'subtype', 'comment', 'helper', 'uhelper', 'large_read', 'kernel_cache', 'auto_cache',
]) // prettier-ignore

const CONTEXT_WORDS = new Set(['context', 'fscontext', 'defcontext', 'rootcontext'])

const MAX_ID = 2 ** 32 - 2

/**
 * Parses the values of all `-o` arguments. A comma or backslash inside a value is escaped by a
 * backslash, a whole value may stand in double quotes. `extra` gets the words that are not of
 * mount(8) and returns false for those it does not know: UsageError, naming the word.
 */
export function parseMountOptions(
  texts: readonly string[],
  extra: (name: string, value: string | undefined) => boolean = () => false,
): MountOptions {
  let flags = DEFAULT_FLAGS
  let allowOther = false
  let defaultPermissions: boolean | undefined
  let maxRead: number | undefined
  let fsname: string | undefined
  let uid: number | undefined
  let gid: number | undefined
  let umask: number | undefined
  let nonempty = false
  const contexts: string[] = []
  const ignored: string[] = []

  for (const word of texts.flatMap(splitOptions)) {
    const equals = word.indexOf('=')
    const name = equals < 0 ? word : word.slice(0, equals)
    const value = equals < 0 ? undefined : word.slice(equals + 1)
    const flag = value === undefined ? FLAG_WORDS.get(name) : undefined
    if (flag !== undefined) flags |= flag
    else if (word === 'allow_other') allowOther = true
    else if (word === 'default_permissions') defaultPermissions = true
    else if (word === 'nonempty') nonempty = true
    else if (name === 'max_read') maxRead = parseNumber(name, value, 10, MAX_ID)
    else if (name === 'uid') uid = parseNumber(name, value, 10, MAX_ID)
    else if (name === 'gid') gid = parseNumber(name, value, 10, MAX_ID)
    else if (name === 'umask') umask = parseNumber(name, value, 8, 0o777)
    else if (name === 'fsname' && value !== undefined) fsname = value
    else if (CONTEXT_WORDS.has(name) && value !== undefined) contexts.push(word)
    else if (IGNORED_WORDS.has(name) || /^[xX]-/.test(name)) ignored.push(word)
    else if (!extra(name, value)) throw new UsageError(`Unknown mount option "${word}".`, { option: word })
  }
  return { flags, allowOther, defaultPermissions, maxRead, fsname, uid, gid, umask, nonempty, contexts, ignored }
}

export const NO_MOUNT_OPTIONS: MountOptions = parseMountOptions([])

/** Whether the kernel shall check permissions: when asked for, and always when others get in. */
export function checksPermissions(options: MountOptions): boolean {
  return options.defaultPermissions ?? options.allowOther
}

/** Splits at commas that are neither escaped nor quoted; removes escapes and quotes. */
function splitOptions(text: string): string[] {
  const out: string[] = []
  let word = ''
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!
    if (char === '\\' && i + 1 < text.length) word += text[++i]!
    else if (char === '"' && (quoted || word.endsWith('='))) quoted = !quoted
    else if (char === ',' && !quoted) {
      out.push(word)
      word = ''
    } else word += char
  }
  out.push(word)
  return out.filter((part) => part !== '')
}

function parseNumber(name: string, value: string | undefined, base: 8 | 10, max: number): number {
  const digits = base === 8 ? /^[0-7]+$/ : /^[0-9]+$/
  const number = value !== undefined && digits.test(value) ? parseInt(value, base) : -1
  if (number < 0 || number > max) {
    const kind = base === 8 ? 'an octal number' : 'a number'
    throw new UsageError(`Mount option "${name}" needs ${kind}, as in "${name}=${base === 8 ? '022' : '1000'}".`, { option: name })
  }
  return number
}

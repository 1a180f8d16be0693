import { compilePattern } from '../browse/shell-pattern.js'

const SLASH = '/'

/** What a selection says of an entry. */
export type Choice =
  /** It and everything below it. */
  | 'all'
  /** Not itself, but perhaps something below it. */
  | 'below'
  | 'none'

/**
 * Which part of a tree is wanted. Patterns are those of a shell, over components: one without a slash is for a name at
 * any depth, any other for a path from the root on; `**` goes across folders, a slash at the end is for folders alone.
 */
export class PathSelection {
  readonly #include: readonly Pattern[]
  readonly #exclude: readonly Pattern[]

  /** `include` empty: everything. `exclude` wins. */
  constructor(include: readonly Uint8Array[] = [], exclude: readonly Uint8Array[] = []) {
    this.#include = include.map(readPattern)
    this.#exclude = exclude.map(readPattern)
  }

  get isAll(): boolean {
    return this.#include.length === 0 && this.#exclude.length === 0
  }

  /** `path`: from the root, without a slash in front; `inherited`: the folder it is in was chosen. */
  choose(path: Buffer, isFolder: boolean, inherited: boolean): Choice {
    if (this.isAll) return 'all'
    const text = path.toString('latin1')
    if (this.#exclude.some((pattern) => matches(pattern, text, isFolder))) return 'none'
    if (inherited || this.#include.length === 0 || this.#include.some((pattern) => matches(pattern, text, isFolder))) return 'all'
    return isFolder ? 'below' : 'none'
  }
}

interface Pattern {
  readonly test: RegExp
  readonly foldersOnly: boolean
  /** On the last component alone. */
  readonly isName: boolean
}

function readPattern(given: Uint8Array): Pattern {
  let text = Buffer.from(given).toString('latin1')
  const foldersOnly = text.endsWith(SLASH)
  text = text.replace(/\/+$/, '').replace(/^(?:\.\/)+/, '')
  const isName = !text.includes(SLASH)
  const test = compilePattern(Buffer.from(text.replace(/^\/+/, ''), 'latin1'), { components: true })
  return { test, foldersOnly, isName }
}

function matches({ test, foldersOnly, isName }: Pattern, path: string, isFolder: boolean): boolean {
  if (foldersOnly && !isFolder) return false
  return test.test(isName ? path.slice(path.lastIndexOf(SLASH) + 1) : path)
}

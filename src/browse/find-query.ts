import { asBuffer } from '../bytes/names.js'
import { UsageError } from '../errors/errors.js'
import { compilePattern } from './shell-pattern.js'
import type { Step } from './walk.js'

/** What `find` looks for; all of it must be true. Patterns and suffixes as in find(1). */
export interface FindQuery {
  /** Shell patterns on the last component of the path, as bytes. */
  readonly names: readonly Uint8Array[]
  readonly inames: readonly Uint8Array[]
  /** Shell patterns on the whole path as it is printed; `*` matches a slash, too. */
  readonly paths: readonly Uint8Array[]
  /** Letters of file types: f d l p s c b. Empty: all. */
  readonly types: string
  readonly sizes: readonly SizeTest[]
  /** Modified after this time. */
  readonly newerThan?: { readonly sec: number; readonly nsec: number } | undefined
}

export interface SizeTest {
  readonly sign: '+' | '-' | ''
  readonly count: number
  /** Bytes of one unit; sizes are rounded up to whole units. */
  readonly unit: number
}

const UNITS: Readonly<Record<string, number>> = { c: 1, w: 2, b: 512, k: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 }

/** `+10M`, `-4k`, `512c`; without a letter in units of 512 bytes, as in find(1). */
export function parseSizeTest(text: string): SizeTest {
  const match = /^([+-]?)(\d{1,15})([cwbkMGT]?)$/.exec(text)
  if (match === null) throw new UsageError(`-size: "${text}" is no size like +10M, -4k or 512c`)
  return { sign: match[1] as SizeTest['sign'], count: Number(match[2]), unit: UNITS[match[3] === '' ? 'b' : match[3]!]! }
}

const TYPES: Readonly<Record<string, number>> = {
  f: 0o100000, d: 0o040000, l: 0o120000, p: 0o010000, s: 0o140000, c: 0o020000, b: 0o060000,
} // prettier-ignore

/** Letters of `-type`, separated by commas or not. */
export function parseTypes(texts: readonly string[]): string {
  const letters = texts.join('').replaceAll(',', '')
  for (const letter of letters) {
    if (TYPES[letter] === undefined) throw new UsageError(`-type: "${letter}" is none of ${Object.keys(TYPES).join(' ')}`)
  }
  return letters
}

/** Makes the test of a query once, for many entries. `shown`: the path as it is printed. */
export function compileQuery(query: FindQuery): (step: Step, shown: Uint8Array) => boolean {
  const names = query.names.map((pattern) => compilePattern(pattern))
  const inames = query.inames.map((pattern) => compilePattern(pattern, { ignoreCase: true }))
  const paths = query.paths.map((pattern) => compilePattern(pattern))
  const modes = new Set([...query.types].map((letter) => TYPES[letter]!))
  return ({ found, path }, shown) => {
    const { attr } = found
    if (modes.size > 0 && !modes.has(attr.mode & 0o170000)) return false
    if (!query.sizes.every((test) => matchesSize(test, attr.size))) return false
    const newer = query.newerThan
    if (newer !== undefined && (attr.mtimeSec < newer.sec || (attr.mtimeSec === newer.sec && attr.mtimeNsec <= newer.nsec))) return false
    const name = latin1(found.name.length > 0 ? found.name : path)
    const whole = latin1(shown)
    return names.every((is) => is.test(name)) && inames.every((is) => is.test(name)) && paths.every((is) => is.test(whole))
  }
}

function matchesSize({ sign, count, unit }: SizeTest, size: number): boolean {
  const units = Math.ceil(size / unit)
  return sign === '+' ? units > count : sign === '-' ? units < count : units === count
}

function latin1(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('latin1')
}

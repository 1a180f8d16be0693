import { FormatError } from '../../errors/errors.js'

/**
 * LVM's text format: `name { ... }` sections, `key = value` with integers, decimal fractions,
 * strings in double quotes, and lists of these in brackets; `#` begins a comment. Text is latin1,
 * one code unit a byte.
 */
export type ConfigValue = number | string | readonly (number | string)[]
export interface ConfigSection {
  readonly values: ReadonlyMap<string, ConfigValue>
  readonly sections: ReadonlyMap<string, ConfigSection>
}

/** Deeper than any metadata: volume group, volumes, volume, segment. */
const MAX_DEPTH = 8
/** Sections, keys and list items. */
const MAX_ITEMS = 500_000

/** A number has at most 20 digits and a fraction. */
const NUMBER = /[+-]?\d{1,20}(?:\.\d{0,20})?/y

/** Reads the whole text. FormatError with its offset when it is not of that form. */
export function parseConfigText(text: string, stream: string): ConfigSection {
  return new Reader(text, stream).readAll()
}

class Reader {
  readonly #text: string
  readonly #stream: string
  #at = 0
  #items = 0

  constructor(text: string, stream: string) {
    this.#text = text
    this.#stream = stream
  }

  readAll(): ConfigSection {
    return this.#readBody(0)
  }

  #readBody(depth: number): ConfigSection {
    if (depth > MAX_DEPTH) throw this.#error(`sections at most ${MAX_DEPTH} deep`)
    const values = new Map<string, ConfigValue>()
    const sections = new Map<string, ConfigSection>()
    for (;;) {
      this.#skipSpace()
      if (this.#at === this.#text.length) {
        if (depth > 0) throw this.#error('"}"')
        return { values, sections }
      }
      if (depth > 0 && this.#skip('}')) return { values, sections }
      const name = this.#takeName()
      this.#count()
      this.#skipSpace()
      if (this.#skip('=')) {
        values.set(name, this.#readValue())
      } else if (this.#skip('{')) {
        if (sections.has(name)) throw this.#error('a name that was not there before')
        sections.set(name, this.#readBody(depth + 1))
      } else {
        throw this.#error('"=" or "{"')
      }
    }
  }

  #readValue(): ConfigValue {
    this.#skipSpace()
    if (!this.#skip('[')) return this.#readScalar()
    const list: (number | string)[] = []
    for (;;) {
      this.#skipSpace()
      if (this.#skip(']')) return list
      if (list.length > 0) {
        if (!this.#skip(',')) throw this.#error('"," or "]"')
        this.#skipSpace()
        if (this.#skip(']')) return list
      }
      list.push(this.#readScalar())
    }
  }

  #readScalar(): number | string {
    this.#count()
    if (this.#text[this.#at] === '"') return this.#takeString()
    NUMBER.lastIndex = this.#at
    const digits = NUMBER.exec(this.#text)?.[0]
    if (digits === undefined) throw this.#error('a number or a string')
    this.#at += digits.length
    return Number(digits)
  }

  #count(): void {
    if (++this.#items > MAX_ITEMS) throw this.#error(`at most ${MAX_ITEMS} items`)
  }

  #skip(char: string): boolean {
    if (this.#text[this.#at] !== char) return false
    this.#at++
    return true
  }

  // By hand: a regular expression that repeats a group needs stack for each repetition.
  #skipSpace(): void {
    for (; this.#at < this.#text.length; this.#at++) {
      const code = this.#text.charCodeAt(this.#at)
      if (code === HASH) {
        const end = this.#text.indexOf('\n', this.#at)
        this.#at = end < 0 ? this.#text.length - 1 : end
      } else if (code > SPACE || (code !== 0 && code < TAB)) {
        return
      }
    }
  }

  #takeName(): string {
    if (this.#text[this.#at] === '"') return this.#takeString()
    const start = this.#at
    while (isNameCode(this.#text.charCodeAt(this.#at))) this.#at++
    if (this.#at === start) throw this.#error('a name')
    return this.#text.slice(start, this.#at)
  }

  #takeString(): string {
    const start = this.#at + 1
    for (let at = start; at < this.#text.length; at++) {
      const code = this.#text.charCodeAt(at)
      if (code === QUOTE) {
        this.#at = at + 1
        const inner = this.#text.slice(start, at)
        return inner.includes('\\') ? inner.replaceAll(/\\(["\\])/g, '$1') : inner
      }
      if (code === BACKSLASH) at++
    }
    throw this.#error('a string that ends')
  }

  #error(expected: string): FormatError {
    return new FormatError(`${this.#stream}: the text of the volume group cannot be read at byte ${this.#at}`, {
      stream: this.#stream,
      offset: this.#at,
      expected,
      actual: JSON.stringify(this.#text.slice(this.#at, this.#at + 20)),
    })
  }
}

const TAB = 0x09
const SPACE = 0x20
const QUOTE = 0x22
const HASH = 0x23
const BACKSLASH = 0x5c

/** Letters, digits and `+ - . _`; NaN behind the end is none. */
function isNameCode(code: number): boolean {
  if (code >= 0x61 && code <= 0x7a) return true
  if (code >= 0x30 && code <= 0x39) return true
  if (code >= 0x41 && code <= 0x5a) return true
  return code === 0x2b || code === 0x2d || code === 0x2e || code === 0x5f
}

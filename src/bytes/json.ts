import { FormatError } from '../errors/errors.js'

/** A number as it was written: nothing is lost above 2^53, and signatures need the text. */
export class JsonNumber {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  /** The value if it is an integer within ±(2^53-1), else undefined. */
  toSafeInteger(): number | undefined {
    if (!/^-?[0-9]+$/.test(this.text)) return undefined
    const value = Number(this.text)
    return Number.isSafeInteger(value) ? value : undefined
  }
}

export type JsonObject = ReadonlyMap<string, JsonValue>
export type JsonValue = null | boolean | string | JsonNumber | readonly JsonValue[] | JsonObject

/** The server's own reader stops at 128. */
const MAX_DEPTH = 64
const SPACE = /[ \t\n\r]*/y
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const PLAIN_CHARS = /[^"\\\u0000-\u001f]*/y
const ESCAPES: Readonly<Record<string, string>> = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

/**
 * Strict JSON from UTF-8. Objects become Maps in the order of the text; duplicate keys, invalid
 * UTF-8, lone surrogates, deep nesting and anything behind the value are errors. Offsets in
 * errors count characters.
 */
export function parseJson(bytes: Uint8Array, name: string): JsonValue {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new FormatError(`${name}: not valid UTF-8`, { stream: name, expected: 'UTF-8 text' }, { cause })
  }
  const parser = new Parser(text, name)
  const value = parser.value(0)
  parser.end()
  return value
}

class Parser {
  readonly #text: string
  readonly #name: string
  #at = 0

  constructor(text: string, name: string) {
    this.#text = text
    this.#name = name
  }

  value(depth: number): JsonValue {
    if (depth > MAX_DEPTH) this.#fail(`nested deeper than ${MAX_DEPTH} levels`, `at most ${MAX_DEPTH} levels`)
    this.#match(SPACE)
    const char = this.#text[this.#at]
    if (char === '{') return this.#object(depth)
    if (char === '[') return this.#array(depth)
    if (char === '"') return this.#string()
    for (const [word, value] of [['null', null], ['true', true], ['false', false]] as const) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length
        return value
      }
    }
    const number = this.#match(NUMBER)
    if (number === '') this.#fail('invalid JSON', 'a value')
    return new JsonNumber(number)
  }

  end(): void {
    this.#match(SPACE)
    if (this.#at < this.#text.length) this.#fail('data behind the JSON document', 'the end')
  }

  #object(depth: number): JsonObject {
    const object = new Map<string, JsonValue>()
    this.#at++
    if (this.#take('}')) return object
    do {
      this.#match(SPACE)
      if (this.#text[this.#at] !== '"') this.#fail('invalid JSON', 'a key')
      const key = this.#string()
      if (object.has(key)) this.#fail(`key ${JSON.stringify(key.slice(0, 64))} twice in one object`, 'each key once')
      if (!this.#take(':')) this.#fail('invalid JSON', 'a colon')
      object.set(key, this.value(depth + 1))
    } while (this.#take(','))
    if (!this.#take('}')) this.#fail('invalid JSON', 'a comma or }')
    return object
  }

  #array(depth: number): JsonValue[] {
    const array: JsonValue[] = []
    this.#at++
    if (this.#take(']')) return array
    do array.push(this.value(depth + 1))
    while (this.#take(','))
    if (!this.#take(']')) this.#fail('invalid JSON', 'a comma or ]')
    return array
  }

  #string(): string {
    this.#at++
    let out = ''
    for (;;) {
      out += this.#match(PLAIN_CHARS)
      const char = this.#text[this.#at]
      if (char === '"') break
      if (char !== '\\') this.#fail('string is not closed, or has a control character', 'a closing quote')
      out += this.#escape()
    }
    this.#at++
    if (/\p{Surrogate}/u.test(out)) this.#fail('string has half a surrogate pair', 'Unicode text')
    return out
  }

  #escape(): string {
    const kind = this.#text[this.#at + 1] ?? ''
    if (kind === 'u') {
      const digits = this.#text.slice(this.#at + 2, this.#at + 6)
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.#fail('invalid escape in a string', 'four hex digits')
      this.#at += 6
      return String.fromCharCode(parseInt(digits, 16))
    }
    const char = Object.hasOwn(ESCAPES, kind) ? ESCAPES[kind] : undefined
    if (char === undefined) this.#fail('invalid escape in a string', 'an escape of JSON')
    this.#at += 2
    return char
  }

  #take(char: string): boolean {
    this.#match(SPACE)
    if (this.#text[this.#at] !== char) return false
    this.#at++
    return true
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0] ?? ''
    this.#at += found.length
    return found
  }

  #fail(problem: string, expected: string): never {
    const actual = this.#at < this.#text.length ? JSON.stringify(this.#text.slice(this.#at, this.#at + 12)) : 'the end'
    throw new FormatError(`${this.#name}: ${problem} at character ${this.#at}`, {
      stream: this.#name,
      offset: this.#at,
      expected,
      actual,
    })
  }
}

/** Undoes `parseJson`: keys in their order, numbers as they were written, two spaces for each level. */
export function formatJson(value: JsonValue, indent = ''): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return JSON.stringify(value)
  if (value instanceof JsonNumber) return value.text
  const inner = `${indent}  `
  const isObject = value instanceof Map
  const parts = isObject
    ? [...(value as JsonObject)].map(([key, item]) => `${JSON.stringify(key)}: ${formatJson(item, inner)}`)
    : (value as readonly JsonValue[]).map((item) => formatJson(item, inner))
  const [open, close] = isObject ? '{}' : '[]'
  return parts.length === 0 ? `${open}${close}` : `${open}\n${inner}${parts.join(`,\n${inner}`)}\n${indent}${close}`
}

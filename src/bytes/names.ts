/**
 * File names, link targets and xattr names are bytes. Inside the program a name that must be a
 * map key is a latin1 string (one code unit a byte, lossless); UTF-8 is for display only.
 */

export function keyOf(bytes: Uint8Array, start = 0, end = bytes.length): string {
  return asBuffer(bytes).toString('latin1', start, end)
}

export function bytesOfKey(key: string): Buffer {
  return Buffer.from(key, 'latin1')
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export function hex(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('hex')
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && asBuffer(a).equals(b)
}

/**
 * A name for people: valid UTF-8 stays, control characters, backslashes and bytes that are not
 * UTF-8 become `\xNN`. Safe to print on a terminal, and readable back by `unescapeName`.
 */
export function escapeName(name: Uint8Array | string): string {
  const bytes = typeof name === 'string' ? Buffer.from(name) : asBuffer(name)
  let out = ''
  let at = 0
  while (at < bytes.length) {
    const length = utf8Length(bytes, at)
    const char = length === 0 ? '' : bytes.toString('utf8', at, at + length)
    if (length === 0 || unsafe(char)) {
      for (let i = 0; i < Math.max(length, 1); i++) out += '\\x' + bytes[at + i]!.toString(16).padStart(2, '0')
    } else {
      out += char
    }
    at += Math.max(length, 1)
  }
  return out
}

/** The same for a sentence: backslashes stay, for the names in it were escaped where they were put in. */
export function escapeText(text: string): string {
  return text.split('\\').map(escapeName).join('\\')
}

/** Undoes `escapeName`: `\xNN` is a byte, everything else is UTF-8. */
export function unescapeName(text: string): Buffer {
  const parts: Buffer[] = []
  let at = 0
  for (const match of text.matchAll(/\\x([0-9a-fA-F]{2})/g)) {
    parts.push(Buffer.from(text.slice(at, match.index)), Buffer.from([parseInt(match[1]!, 16)]))
    at = match.index + 4
  }
  parts.push(Buffer.from(text.slice(at)))
  return Buffer.concat(parts)
}

/** C0, DEL, C1, backslash, line separators, bidirectional overrides and zero-width characters. */
function unsafe(char: string): boolean {
  return /[\u0000-\u001f\u007f-\u009f\\\u2028\u2029\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/u.test(char)
}

/** Length of the well-formed UTF-8 sequence at `at`, or 0. */
function utf8Length(bytes: Buffer, at: number): number {
  const first = bytes[at]!
  if (first < 0x80) return 1
  const length = first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0
  if (length === 0 || at + length > bytes.length) return 0
  const sequence = bytes.subarray(at, at + length)
  return Buffer.from(sequence.toString('utf8')).equals(sequence) ? length : 0
}

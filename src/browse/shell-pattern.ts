import { asBuffer } from '../bytes/names.js'
import { UsageError } from '../errors/errors.js'

export interface PatternOptions {
  readonly ignoreCase?: boolean
  /** `*`, `?` and sets stop at a slash; `**` does not, and with a slash behind it stands for no folder, too. */
  readonly components?: boolean
}

/** A shell pattern (`*`, `?`, `[a-z]`, `[!a]`, backslash) over bytes, to be tested against latin1 texts. */
export function compilePattern(pattern: Uint8Array, { ignoreCase = false, components = false }: PatternOptions = {}): RegExp {
  const text = asBuffer(pattern).toString('latin1')
  const any = components ? '[^/]' : '[^]'
  let source = ''
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!
    if (char === '*') {
      const end = starsEnd(text, i)
      const deep = components && end - i > 1
      if (deep && text[end] === '/') source += '(?:[^]*/)?'
      else source += deep ? '[^]*' : `${any}*`
      i = deep && text[end] === '/' ? end : end - 1
    } else if (char === '?') source += any
    else if (char === '\\' && i + 1 < text.length) source += literal(text[++i]!)
    else if (char === '[') {
      const end = text.indexOf(']', text[i + 1] === '!' || text[i + 1] === '^' ? i + 3 : i + 2)
      if (end < 0) source += '\\['
      else {
        source += (components ? '(?!/)' : '') + bracket(text.slice(i + 1, end))
        i = end
      }
    } else source += literal(char)
  }
  // Only ASCII letters have two cases among bytes.
  return new RegExp(`^${source}$`, ignoreCase ? 'i' : '')
}

/** Behind a run of stars, which mean no more than one or two of them. */
function starsEnd(text: string, start: number): number {
  let end = start
  while (text[end] === '*') end++
  return end
}

function bracket(inside: string): string {
  const negated = inside.startsWith('!') || inside.startsWith('^')
  const set = (negated ? inside.slice(1) : inside).replaceAll(/[\\\]^[]/g, '\\$&')
  try {
    return new RegExp(`[${negated ? '^' : ''}${set}]`).source
  } catch {
    throw new UsageError(`"[${inside}]" in a pattern is no set of characters`)
  }
}

function literal(char: string): string {
  return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`
}

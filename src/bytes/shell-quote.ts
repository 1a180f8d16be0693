import { escapeName } from './names.js'

/**
 * An argument as it can be pasted into bash or zsh, for text that `escapeName` made: plain where
 * nothing is special, `$'...'` where a `\xNN` stands for a byte.
 */
export function quoteEscaped(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text
  return text.includes('\\') ? `$'${text.replaceAll("'", "\\'")}'` : `'${text.replaceAll("'", `'\\''`)}'`
}

export function quoteBytes(bytes: Uint8Array): string {
  return quoteEscaped(escapeName(bytes))
}

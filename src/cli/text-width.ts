/** Characters that take two columns of a terminal (East Asian, emoji), and those that take none. */
const WIDE = /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u
const NONE = /^[\p{Mn}\p{Me}]$/u
const PLAIN = /^[\x20-\x7e]*$/

/** Columns that printable text takes on a terminal. */
export function widthOf(text: string): number {
  if (PLAIN.test(text)) return text.length
  let columns = 0
  for (const char of text) columns += widthOfCharacter(char)
  return columns
}

/** As much of the begin of a text as has room in so many columns. */
export function cutToWidth(text: string, columns: number): string {
  if (PLAIN.test(text)) return text.slice(0, Math.max(0, columns))
  let left = columns
  let length = 0
  for (const char of text) {
    left -= widthOfCharacter(char)
    if (left < 0) break
    length += char.length
  }
  return text.slice(0, length)
}

/** The same of its end. */
export function endOfWidth(text: string, columns: number): string {
  let left = columns
  let start = text.length
  for (const char of [...text].reverse()) {
    left -= widthOfCharacter(char)
    if (left < 0) break
    start -= char.length
  }
  return text.slice(start)
}

function widthOfCharacter(char: string): number {
  return WIDE.test(char) ? 2 : NONE.test(char) ? 0 : 1
}

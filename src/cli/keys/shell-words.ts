/**
 * Splits a line as a shell does, without doing anything else a shell does: blanks separate, quotes
 * and backslashes protect. undefined: a quote is not closed, or a backslash ends the line.
 */
export function splitShellWords(line: string): string[] | undefined {
  const words: string[] = []
  let word: string | undefined
  for (let i = 0; i < line.length; i++) {
    const char = line[i]!
    if (/[ \t\n]/.test(char)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else if (char === "'") {
      const end = line.indexOf("'", i + 1)
      if (end < 0) return undefined
      word = (word ?? '') + line.slice(i + 1, end)
      i = end
    } else if (char === '"') {
      const quoted = readDoubleQuoted(line, i + 1)
      if (quoted === undefined) return undefined
      word = (word ?? '') + quoted.text
      i = quoted.end
    } else if (char === '\\') {
      const next = line[++i]
      if (next === undefined) return undefined
      if (next !== '\n') word = (word ?? '') + next
    } else {
      word = (word ?? '') + char
    }
  }
  if (word !== undefined) words.push(word)
  return words
}

/** The text up to the closing quote, and where that is. */
function readDoubleQuoted(line: string, start: number): { text: string; end: number } | undefined {
  let text = ''
  for (let i = start; i < line.length; i++) {
    const char = line[i]!
    if (char === '"') return { text, end: i }
    const next = line[i + 1] ?? ''
    if (char === '\\' && '$`"\\\n'.includes(next) && next !== '') {
      if (next !== '\n') text += next
      i++
    } else {
      text += char
    }
  }
  return undefined
}

/** A word of a line that is still being typed. */
export interface TypedWord {
  /** What the shell would pass on. */
  readonly text: string
  /** As it was typed. */
  readonly raw: string
  /** The quote that is still open at its end. */
  readonly quote: '' | "'" | '"'
  /** Of `raw`: where the open quote stands. */
  readonly quoteAt: number
}

/** Splits a line up to the cursor as bash does; the last word is the one being typed, empty behind a blank. */
export function splitLine(line: string): TypedWord[] {
  const words: TypedWord[] = []
  for (let at = 0; ; ) {
    while (/[ \t\n]/.test(line[at] ?? '')) at++
    const { word, end } = readWord(line, at)
    words.push(word)
    if (end >= line.length) return words
    at = end
    if (/^[ \t\n]+$/.test(line.slice(at))) {
      words.push({ text: '', raw: '', quote: '', quoteAt: -1 })
      return words
    }
  }
}

/** The word that begins at `start`; ends before a blank or with the line. */
export function readWord(line: string, start: number): { word: TypedWord; end: number } {
  let text = ''
  let quote: TypedWord['quote'] = ''
  let quoteAt = -1
  let at = start
  for (; at < line.length; at++) {
    const char = line[at]!
    if (quote === '' && /[ \t\n]/.test(char)) break
    if (char === quote) {
      quote = ''
    } else if (quote === '' && (char === '"' || char === "'")) {
      quote = char
      quoteAt = at - start
    } else if (char === '\\' && quote !== "'" && (quote === '' || '$`"\\'.includes(line[at + 1] ?? ''))) {
      text += line[++at] ?? ''
    } else {
      text += char
    }
  }
  return { word: { text, raw: line.slice(start, at), quote, quoteAt: quote === '' ? -1 : quoteAt }, end: at }
}

/** Characters that mean something to bash outside of quotes. */
const SPECIAL = /[\s!"#$&'()*;<>?[\\\]^`{|}~]/g

/**
 * What readline puts in the place of the last part of a typed word, so that the word becomes
 * `candidate`; `breaks` is COMP_WORDBREAKS. undefined: it cannot be written in the quotes that are open.
 */
export function bashReply(candidate: string, word: TypedWord, breaks: string): string | undefined {
  if (word.quote !== '') {
    const before = readWord(word.raw.slice(0, word.quoteAt), 0).word.text
    const rest = candidate.slice(before.length)
    if (word.quote === "'") return rest.includes("'") ? undefined : rest
    return rest.replaceAll(/[$`"\\]/g, '\\$&')
  }
  const before = readWord(word.raw.slice(0, lastBreak(word.raw, breaks) + 1), 0).word.text
  const rest = candidate.slice(before.length)
  const quoted = rest.replaceAll(SPECIAL, '\\$&')
  // A tilde that was typed stays one.
  return before === '' && word.raw.startsWith('~') ? quoted.replace(/^\\~/, '~') : quoted
}

/** Where readline takes a new word to begin: behind the last of these characters that is neither escaped nor quoted. */
function lastBreak(raw: string, breaks: string): number {
  let last = -1
  let quote = ''
  for (let at = 0; at < raw.length; at++) {
    const char = raw[at]!
    if (char === '\\' && quote !== "'") at++
    else if (quote !== '') quote = char === quote ? '' : quote
    else if (/["']/.test(char)) quote = char
    else if (!/\s/.test(char) && breaks.includes(char)) last = at
  }
  return last
}

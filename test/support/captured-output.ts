import type { Output } from '#src/cli/output.js'

/** Output of a command that runs in this process. */
export function captureOutput(columns?: number): Output & { readonly texts: { out: string; err: string } } {
  const texts = { out: '', err: '' }
  return {
    texts,
    columns,
    out: (text) => void (texts.out += typeof text === 'string' ? text : Buffer.from(text).toString('latin1')),
    err: (text) => void (texts.err += text),
  }
}

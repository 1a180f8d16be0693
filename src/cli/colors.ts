/** Colours of the terminal, and the one place that decides whether there are any. */

const SGR = { bold: 1, red: 31, green: 32, yellow: 33 } as const

export type Style = keyof typeof SGR

/** A stream gets colours when it is a terminal that has them, and nobody asked for none (https://no-color.org). */
export function hasColors(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb' && (env['TERM'] ?? '') !== ''
}

export function paint(text: string, style: Style, on: boolean | undefined): string {
  return on === true ? `\x1b[${SGR[style]}m${text}\x1b[0m` : text
}

/** A table whose first line is its head. */
export function paintHead(table: string, on: boolean | undefined): string {
  const end = table.indexOf('\n')
  return end < 0 ? table : paint(table.slice(0, end), 'bold', on) + table.slice(end)
}

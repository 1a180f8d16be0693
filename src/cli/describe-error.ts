import { escapeName } from '../bytes/names.js'
import { isPbsfsError, messageOf, type ErrorFields } from '../errors/errors.js'
import { argToBytes } from './raw-args.js'

/** Fields shown under the message, in this order; the rest follows by name. */
const FIELD_ORDER = ['path', 'stream', 'item', 'offset', 'digest', 'expected', 'actual', 'wanted', 'given', 'holder']

/** Fields that repeat what the message or another line says. */
const SILENT_FIELDS = new Set(['remedy', 'errno', 'operation', 'retryable'])

/** A chain longer than this is a circle. */
const MAX_CAUSES = 8

/**
 * An error as the lines a person reads: the message, the fields that help, the remedy, what
 * caused it. Safe for a terminal. A bug is called one; its stack is shown only when `debug` is set.
 */
export function describeError(error: unknown, debug = false): string {
  const lines = [headline(error), ...details(error)]
  let cause = error instanceof Error ? error.cause : undefined
  for (let depth = 0; cause !== undefined && depth < MAX_CAUSES; depth++) {
    if (!repeats(cause, lines)) lines.push(`  because: ${headline(cause)}`, ...details(cause).map((line) => '  ' + line))
    cause = cause instanceof Error ? cause.cause : undefined
  }
  if (!isPbsfsError(error)) {
    if (debug && error instanceof Error && error.stack !== undefined) lines.push(printable(error.stack))
    else lines.push('  This is a fault of pbsfs itself; -d shows where.')
  }
  return lines.join('\n')
}

/** Text made by the program for a terminal: what names in it could smuggle in is escaped, line ends stay. */
export function printable(text: string): string {
  return text
    .split('\n')
    .map((line) => line.split('\\').map((part) => escapeName(argToBytes(part))).join('\\')) // prettier-ignore
    .join('\n')
}

function headline(error: unknown): string {
  const message = messageOf(error)
  const text = printable(message).replaceAll('\n', '\n  ')
  if (isPbsfsError(error) || !(error instanceof Error)) return text
  return error.name === 'Error' ? text : `${error.name}: ${text}`
}

/** An error of the system, like "EACCES: permission denied, open '/x'", whose code and path were told already. */
function repeats(cause: unknown, lines: readonly string[]): boolean {
  const { code, syscall, path } = cause as NodeJS.ErrnoException
  if (!(cause instanceof Error) || code === undefined || syscall === undefined) return false
  const told = lines.join('\n')
  return (told.includes(code) || isInWords(code, told)) && (path === undefined || told.includes(printable(String(path))))
}

/** Codes that a sentence says in words. */
const WORDS: Readonly<Record<string, RegExp>> = {
  ENOENT: /no such|there is no |is not there/,
  EACCES: /permission denied|may not/,
  ENOTDIR: /not a directory/,
}

function isInWords(code: unknown, text: string): boolean {
  return WORDS[String(code)]?.test(text) === true
}

function details(error: unknown): string[] {
  if (!isPbsfsError(error)) return []
  const lines: string[] = []
  for (const name of orderedNames(error.fields)) {
    if (name === 'code' && isInWords(error.fields[name], error.message)) continue
    const value = printable(String(error.fields[name])).replaceAll('\n', ' ')
    if (!error.message.includes(String(error.fields[name]))) lines.push(`  ${name}: ${value}`)
  }
  const remedy = error.fields['remedy']
  if (typeof remedy === 'string' && !error.message.includes(remedy)) lines.push(`  ${printable(remedy)}`)
  return lines
}

function orderedNames(fields: ErrorFields): string[] {
  const shown = Object.keys(fields).filter((name) => fields[name] !== undefined && !SILENT_FIELDS.has(name))
  const rank = (name: string) => (FIELD_ORDER.includes(name) ? FIELD_ORDER.indexOf(name) : FIELD_ORDER.length)
  return shown.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
}

import { AbortedError, isPbsfsError, messageOf, type ErrorFields } from '../errors/errors.js'
import { exitCodeOf } from './exit-codes.js'
import type { OpenSource } from './open-source.js'
import type { Output } from './output.js'

/** Of the document that stands for the one of a command that failed. */
const ERROR_VERSION = 1

/** What could not be read, in a document that tells the rest. */
export interface ProblemDocument {
  readonly message: string
  readonly fields: ErrorFields
}

/** One for each message: what was met on the way and then by the command itself is one problem. */
export function problemDocuments(...sources: readonly OpenSource[]): readonly ProblemDocument[] {
  const documents = new Map<string, ProblemDocument>()
  for (const { message, fields } of sources.flatMap(({ problems }) => problems.list())) {
    documents.set(message, { message, fields: { ...documents.get(message)?.fields, ...fields } })
  }
  return [...documents.values()]
}

/** Does a line that may not be understood ask for documents? */
export function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return args.slice(0, end < 0 ? args.length : end).includes('--json')
}

/**
 * Runs what prints documents. When it fails, its output ends with a document of the error, unless it broke off inside
 * of another. The error is passed on.
 */
export async function withErrorDocument<T>(output: Output, run: (output: Output) => Promise<T>): Promise<T> {
  let isBetweenDocuments = true
  const watched = Object.create(output, {
    out: {
      value: (text: string | Uint8Array): void => {
        if (text.length > 0) isBetweenDocuments = typeof text === 'string' && text.endsWith('\n')
        output.out(text)
      },
    },
  }) as Output
  try {
    return await run(watched)
  } catch (error) {
    const isUnread = output.failure !== undefined && error instanceof AbortedError
    if (isBetweenDocuments && !isUnread) output.out(JSON.stringify({ version: ERROR_VERSION, error: errorDocument(error) }) + '\n')
    throw error
  }
}

function errorDocument(error: unknown): object {
  const kind = isPbsfsError(error) ? error.tag : 'internal'
  const message = messageOf(error)
  return { kind, exitCode: exitCodeOf(error), message, fields: isPbsfsError(error) ? error.fields : {} }
}

import { type ErrorTag, isPbsfsError, NodeError } from '../errors/errors.js'

/** What a shell sees. */
export const EXIT = { ok: 0, failed: 1, usage: 2, damaged: 3, unavailable: 4, key: 5, fuse: 6 } as const

export type ExitName = keyof typeof EXIT

/** For the reference. */
export const EXIT_MEANINGS: Readonly<Record<ExitName, string>> = {
  ok: 'ok',
  failed: 'failed, for a reason that has no number of its own',
  usage: 'the command line is wrong, or the place it names',
  damaged: 'damaged data found',
  unavailable: 'could not look: locked, in use, unreadable, gone',
  key: 'key missing or wrong',
  fuse: 'FUSE is not available',
}

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

const byTag: Readonly<Record<Exclude<ErrorTag, 'node'>, ExitCode>> = {
  format: EXIT.damaged,
  truncated: EXIT.damaged,
  integrity: EXIT.damaged,
  'chunk-unavailable': EXIT.damaged,
  unsupported: EXIT.failed,
  key: EXIT.key,
  source: EXIT.unavailable,
  busy: EXIT.unavailable,
  aborted: EXIT.failed,
  mount: EXIT.fuse,
  target: EXIT.failed,
  usage: EXIT.usage,
}

/** Answers of the tree that mean "there is nothing to look at". */
const NOT_THERE = new Set<string>(['ENOENT', 'ENOTDIR', 'ESTALE', 'EACCES'])

/** The exit code of a command that ended with this error. */
export function exitCodeOf(error: unknown): ExitCode {
  if (!isPbsfsError(error)) return EXIT.failed
  if (error instanceof NodeError) return NOT_THERE.has(error.errno) ? EXIT.unavailable : EXIT.failed
  return byTag[error.tag as Exclude<ErrorTag, 'node'>]
}

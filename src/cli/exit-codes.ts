import { type ErrorTag, isPbsfsError, NodeError } from '../errors/errors.js'

/** What a shell sees. docs/cli.md holds the same table. */
export const EXIT = {
  ok: 0,
  /** Something failed that has no number of its own. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** Bytes are not what they should be. */
  damaged: 3,
  /** Could not look: locked, unreadable, gone. */
  unavailable: 4,
  /** No key, or not the right one. */
  key: 5,
  /** FUSE cannot be used here. */
  fuse: 6,
} as const

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

/**
 * Every error pbsfs raises on purpose. Closed set: `tag` narrows, `fields` carry what a
 * person needs to act (stream, offset, digest, path). Errno is chosen in `errors/errno.ts`,
 * the exit code in `cli/exit-codes.ts`, and nowhere else.
 */

export type ErrorFields = Readonly<Record<string, string | number | boolean | undefined>>

export type ErrorTag =
  | 'format'
  | 'truncated'
  | 'unsupported'
  | 'integrity'
  | 'key'
  | 'chunk-unavailable'
  | 'source'
  | 'busy'
  | 'node'
  | 'aborted'
  | 'mount'
  | 'target'
  | 'usage'

export abstract class PbsfsError extends Error {
  abstract readonly tag: ErrorTag
  readonly fields: ErrorFields

  constructor(message: string, fields: ErrorFields = {}, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.fields = fields
  }
}

/** Bytes that are not what the format says. Fields: stream, offset, item, expected, actual. */
export class FormatError extends PbsfsError {
  readonly tag = 'format'
}

/** A structure that goes on past the end of its stream. Fields: stream, offset, expected, actual. */
export class TruncatedError extends PbsfsError {
  readonly tag = 'truncated'
}

/** A well-formed thing of a version or kind this program does not read. Fields: feature, version. */
export class UnsupportedError extends PbsfsError {
  readonly tag = 'unsupported'
}

/** A CRC, digest, tag or size that does not match its data. Fields: digest, expected, actual, source. */
export class IntegrityError extends PbsfsError {
  readonly tag = 'integrity'
}

/** No key, or not the right one. Fields: wanted, given (fingerprints). */
export class KeyError extends PbsfsError {
  readonly tag = 'key'
}

/** A chunk that no source has. Fields: digest, source. */
export class ChunkUnavailableError extends PbsfsError {
  readonly tag = 'chunk-unavailable'
}

/** The storage itself failed. Fields: path, operation, code (errno name), retryable. */
export class SourceError extends PbsfsError {
  readonly tag = 'source'
}

/** Someone else holds it: a writer has the snapshot, a user has the mount. Fields: path, holder. */
export class BusyError extends PbsfsError {
  readonly tag = 'busy'
}

export type NodeErrno =
  | 'ENOENT'
  | 'ENOTDIR'
  | 'EISDIR'
  | 'ENODATA'
  | 'ESTALE'
  | 'EROFS'
  | 'ERANGE'
  | 'EINVAL'
  | 'ENXIO'
  | 'ENAMETOOLONG'
  | 'ENOTTY'
  | 'EOPNOTSUPP'
  | 'EACCES'
  | 'ENOSYS'

/** An answer of the file tree that is an errno by nature. Fields: errno, path. */
export class NodeError extends PbsfsError {
  readonly tag = 'node'
  readonly errno: NodeErrno

  constructor(errno: NodeErrno, message: string = errno, fields: ErrorFields = {}, options?: ErrorOptions) {
    super(message, { errno, ...fields }, options)
    this.errno = errno
  }
}

/** The caller went away. */
export class AbortedError extends PbsfsError {
  readonly tag = 'aborted'
}

/** FUSE cannot be used here, or mounting failed. Fields: path, remedy. */
export class MountError extends PbsfsError {
  readonly tag = 'mount'
}

/** Files cannot be written where the user wants them. Fields: path, operation, code (errno name), remedy. */
export class TargetError extends PbsfsError {
  readonly tag = 'target'
}

/** The command line is wrong. The message is a sentence for the user; no stack is shown. */
export class UsageError extends PbsfsError {
  readonly tag = 'usage'
}

const classes = {
  format: FormatError,
  truncated: TruncatedError,
  unsupported: UnsupportedError,
  integrity: IntegrityError,
  key: KeyError,
  'chunk-unavailable': ChunkUnavailableError,
  source: SourceError,
  busy: BusyError,
  aborted: AbortedError,
  mount: MountError,
  target: TargetError,
  usage: UsageError,
} as const

export function isPbsfsError(error: unknown): error is PbsfsError {
  return error instanceof PbsfsError
}

/** What is wrong, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** An error as plain data, to cross a thread or process boundary. */
export interface PlainError {
  readonly tag: ErrorTag | 'bug'
  readonly message: string
  readonly fields: ErrorFields
  readonly stack?: string
  readonly cause?: PlainError
}

export function toPlainError(error: unknown): PlainError {
  if (error instanceof PbsfsError) {
    return {
      tag: error.tag,
      message: error.message,
      fields: error.fields,
      ...(error.cause === undefined ? {} : { cause: toPlainError(error.cause) }),
    }
  }
  const bug = error instanceof Error ? error : new Error(String(error))
  return { tag: 'bug', message: bug.message, fields: {}, ...(bug.stack === undefined ? {} : { stack: bug.stack }) }
}

export function fromPlainError(plain: PlainError): Error {
  const options = plain.cause === undefined ? undefined : { cause: fromPlainError(plain.cause) }
  if (plain.tag === 'bug') {
    const error = new Error(plain.message, options)
    if (plain.stack !== undefined) error.stack = plain.stack
    return error
  }
  if (plain.tag === 'node') {
    const errno = (plain.fields['errno'] ?? 'ENOENT') as NodeErrno
    return new NodeError(errno, plain.message, plain.fields, options)
  }
  return new classes[plain.tag](plain.message, plain.fields, options)
}

/** The same error, with these fields in place of its own. Other errors stay as they are. */
export function replaceFields(error: unknown, fields: ErrorFields): unknown {
  if (!(error instanceof PbsfsError)) return error
  const plain = toPlainError(error)
  return fromPlainError({ ...plain, fields: { ...plain.fields, ...fields } })
}

/** The same error with more fields; the fields it has already win. Other errors stay as they are. */
export function withFields(error: unknown, fields: ErrorFields): unknown {
  if (!(error instanceof PbsfsError)) return error
  const plain = toPlainError(error)
  return fromPlainError({ ...plain, fields: { ...fields, ...plain.fields } })
}

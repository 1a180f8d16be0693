import type { ReadAt } from '../bytes/read-at.js'
import { FormatError, isPbsfsError, KeyError, AbortedError, type PbsfsError } from '../errors/errors.js'

/** Consecutive bytes of an image: the whole disk, a partition, what a volume lies on. */
export interface Span {
  readonly stream: ReadAt
  /** First byte in the stream. */
  readonly start: number
  /** Bytes. */
  readonly size: number
}

export function wholeOf(stream: ReadAt): Span {
  return { stream, start: 0, size: stream.size }
}

/** `[offset, offset+length)` of a span; FormatError when the span ends before. */
export async function readSpan(span: Span, offset: number, length: number): Promise<Uint8Array> {
  if (!(offset >= 0 && length >= 0 && offset + length <= span.size)) {
    throw new FormatError(`${span.stream.name}: bytes ${offset}+${length} lie outside`, {
      stream: span.stream.name,
      offset: span.start + offset,
      expected: `at most ${span.size} bytes`,
      actual: offset + length,
    })
  }
  return span.stream.read(span.start + offset, length)
}

/** As much of `[offset, offset+length)` as the span has, perhaps nothing. */
export async function readUpTo(span: Span, offset: number, length: number): Promise<Uint8Array> {
  const there = Math.min(length, span.size - offset)
  return there <= 0 || offset < 0 ? new Uint8Array(0) : readSpan(span, offset, there)
}

/** A fault of what is on the disk: it costs only what it touches. A key that is missing, or a bug, ends everything. */
export function isDamage(error: unknown): error is PbsfsError {
  return isPbsfsError(error) && !(error instanceof KeyError) && !(error instanceof AbortedError)
}

/** A fault of reading, not of the bytes read: may be gone the next time. */
export function isPassing(error: PbsfsError): boolean {
  return error.tag === 'source' || error.tag === 'chunk-unavailable' || error.tag === 'integrity' || error.tag === 'node'
}

/** `expected` and `actual` of something at an absolute offset of an image. */
export function diskError(span: Span, offset: number, problem: string, expected: string | number, actual: string | number): FormatError {
  return new FormatError(`${span.stream.name}: ${problem}`, { stream: span.stream.name, offset: span.start + offset, expected, actual })
}

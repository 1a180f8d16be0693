import zstd from 'zstd-napi/binding.js'
import { FormatError, IntegrityError, messageOf, TruncatedError, UnsupportedError } from '../errors/errors.js'
import { blobFields, type Blob } from './data-blob.js'

/** First output buffer when the frame does not tell its content size. */
const FIRST_GUESS = 64 * 1024
/** Output of one step, in bytes. */
const STEP = 1024 * 1024

type Context = InstanceType<typeof zstd.DCtx>
let shared: Context | undefined

/**
 * Decompresses `payload` (one or several frames, nothing behind them) into exactly `dst`.
 * Throws when the content is not exactly as long as `dst`; `dst` then holds rubbish.
 */
export function decompressExactly(blob: Blob, payload: Uint8Array, dst: Uint8Array): void {
  if (payload.length === 0) throw emptyPayload(blob)
  shared ??= new zstd.DCtx()
  let length: number
  try {
    length = shared.decompress(dst, payload)
  } catch (cause) {
    throw explainFailure(blob, payload, dst.length, cause)
  }
  if (length !== dst.length) throw wrongLength(blob, dst.length, length)
}

/** Decompresses a payload of unknown length, at most `maxSize` bytes, into memory of its own. */
export function decompressBounded(blob: Blob, payload: Uint8Array, maxSize: number): Uint8Array {
  const steps = decompressSteps(blob, payload, maxSize)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** The same in steps of a millisecond or less, for a thread that has other things to do in between. */
export function* decompressSteps(blob: Blob, payload: Uint8Array, maxSize: number): Generator<void, Uint8Array> {
  if (payload.length === 0) throw emptyPayload(blob)
  // A context of its own: the window buffer a hostile frame asks for goes away with it.
  const context = new zstd.DCtx()
  let out = new Uint8Array(Math.min(firstGuess(payload), maxSize + 1))
  let produced = 0
  let consumed = 0
  let pending = 1
  for (;;) {
    if (produced === out.length) {
      if (produced > maxSize) throw tooLong(blob, maxSize)
      out = grow(out, Math.min(out.length * 2, maxSize + 1))
    }
    const source = payload.subarray(consumed)
    let wrote: number
    let took: number
    try {
      ;[pending, wrote, took] = context.decompressStream(out.subarray(produced, produced + STEP), source)
    } catch (cause) {
      throw explainFailure(blob, payload, maxSize, cause)
    }
    produced += wrote
    consumed += took
    if (pending === 0 && consumed === payload.length) break
    if (wrote === 0 && took === 0 && produced < out.length) {
      const fields = { ...blobFields(blob), offset: blob.headerSize + consumed }
      throw new TruncatedError(`${blob.name}: compressed data ends early`, fields)
    }
    yield
  }
  if (produced > maxSize) throw tooLong(blob, maxSize)
  return produced === out.length ? out : out.slice(0, produced)
}

function firstGuess(payload: Uint8Array): number {
  let size: number | null
  try {
    size = zstd.getFrameContentSize(payload)
  } catch {
    size = null
  }
  // One byte more than promised, so that the end of the frame is seen in the first round.
  return size === null || !(size >= 0) ? FIRST_GUESS : size + 1
}

function grow(bytes: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  const bigger = new Uint8Array(size)
  bigger.set(bytes)
  return bigger
}

function explainFailure(blob: Blob, payload: Uint8Array, expected: number, cause: unknown): Error {
  const reason = messageOf(cause)
  const fields = { ...blobFields(blob), offset: blob.headerSize, actual: reason }
  if (/too small/i.test(reason)) return wrongLength(blob, expected, undefined)
  if (/dictionary/i.test(reason)) {
    return new UnsupportedError(`${blob.name}: compressed with a dictionary, which is not supported`, {
      ...fields,
      feature: 'zstd dictionary',
      dictionary: zstd.getDictIDFromFrame(payload),
    })
  }
  if (/src size/i.test(reason)) {
    return new FormatError(`${blob.name}: compressed data ends early or something follows it`, fields, { cause })
  }
  return new FormatError(`${blob.name}: not valid zstd data (${reason})`, fields, { cause })
}

function emptyPayload(blob: Blob): TruncatedError {
  const fields = { ...blobFields(blob), offset: blob.headerSize, actual: 0 }
  return new TruncatedError(`${blob.name}: compressed blob without data`, fields)
}

/** `actual` undefined: more than expected, nobody counted how much. */
export function wrongLength(blob: Blob, expected: number, actual: number | undefined): IntegrityError {
  const what = actual === undefined ? `more than ${expected} bytes` : `${actual} bytes instead of ${expected}`
  return new IntegrityError(`${blob.name}: content is ${what}`, {
    ...blobFields(blob),
    expected: `${expected} bytes`,
    actual: actual === undefined ? 'more' : `${actual} bytes`,
  })
}

export function tooLong(blob: Blob, maxSize: number): FormatError {
  return new FormatError(`${blob.name}: content exceeds the limit of ${maxSize} bytes`, {
    ...blobFields(blob),
    expected: `at most ${maxSize} bytes`,
    actual: 'more',
  })
}

import { FormatError, TruncatedError } from '../errors/errors.js'
import { ITEM_NAMES } from './format.js'

/** A format error at an absolute offset of a named stream. */
export function damage(
  stream: string,
  offset: number,
  item: number | string,
  problem: string,
  expected?: string | number,
  actual?: string | number,
): FormatError {
  const name = typeof item === 'number' ? ITEM_NAMES[item] : item
  return new FormatError(`${stream}: ${name} at offset ${offset}: ${problem}`, { stream, offset, item: name, expected, actual })
}

/** An item that goes on past the bytes that may belong to it. */
export function cutOff(stream: string, offset: number, item: number | string, needs: number, limit: number): TruncatedError {
  const name = typeof item === 'number' ? ITEM_NAMES[item] : item
  return new TruncatedError(`${stream}: ${name} at offset ${offset} goes on past offset ${limit}`, {
    stream,
    offset,
    item: name,
    expected: `at most ${limit}`,
    actual: needs,
  })
}

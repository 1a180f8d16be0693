import { describe, expect, it } from 'vitest'
import {
  AbortedError, BusyError, ChunkUnavailableError, FormatError, IntegrityError, KeyError, NodeError, SourceError, TruncatedError,
  UnsupportedError, UsageError, type NodeErrno,
} from '#src/errors/errors.js' // prettier-ignore
import { errnoOf, isBug, isOrdinary, nameOfErrno } from '#src/errors/errno.js'

describe('errnoOf', () => {
  it.each([
    ['FormatError', new FormatError('x'), 5],
    ['TruncatedError', new TruncatedError('x'), 5],
    ['IntegrityError', new IntegrityError('x'), 5],
    ['ChunkUnavailableError', new ChunkUnavailableError('x'), 5],
    ['UnsupportedError', new UnsupportedError('x'), 95],
    ['KeyError', new KeyError('x'), 13],
    ['BusyError', new BusyError('x'), 16],
    ['AbortedError', new AbortedError('x'), 4],
    ['UsageError', new UsageError('x'), 5],
    ['a bug', new TypeError('x'), 5],
    ['no error at all', undefined, 5],
    ['a source without permission', new SourceError('x', { code: 'EACCES' }), 13],
    ['a source that timed out', new SourceError('x', { code: 'ETIMEDOUT' }), 110],
    ['a source that failed', new SourceError('x', { code: 'EIO' }), 5],
    ['a source of unknown failure', new SourceError('x', { code: 'toString' }), 5],
  ])('%s', (_name, error, errno) => {
    expect(errnoOf(error)).toBe(errno)
  })

  it('never lets lost data look like a file that was never there', () => {
    expect(errnoOf(new SourceError('x', { code: 'ENOENT' }))).toBe(5)
    expect(errnoOf(new ChunkUnavailableError('x', { code: 'ENOENT' }))).toBe(5)
  })

  it('has a number for every errno of a node', () => {
    const all: Record<NodeErrno, number> = {
      ENOENT: 2, ENOTDIR: 20, EISDIR: 21, ENODATA: 61, ESTALE: 116, EROFS: 30, ERANGE: 34, EINVAL: 22, ENXIO: 6,
      ENAMETOOLONG: 36, ENOTTY: 25, EOPNOTSUPP: 95, EACCES: 13, ENOSYS: 38,
    } // prettier-ignore
    for (const [name, errno] of Object.entries(all)) expect(errnoOf(new NodeError(name as NodeErrno))).toBe(errno)
  })

  it('tells ordinary answers from trouble and trouble from bugs', () => {
    expect(isOrdinary(new NodeError('ENOENT'))).toBe(true)
    expect(isOrdinary(new SourceError('x'))).toBe(false)
    expect(isBug(new SourceError('x'))).toBe(false)
    expect(isBug(new RangeError('x'))).toBe(true)
  })
})

it('names what the runtime has no name for', () => {
  expect([2, -116, 37, 3999].map(nameOfErrno)).toEqual(['ENOENT', 'ESTALE', 'ENOLCK', 'errno 3999'])
})

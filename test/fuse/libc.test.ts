import { describe, expect, it } from 'vitest'
import { SourceError } from '#src/errors/errors.js'
import { cString, errnoName, errnoOfSystemError, F_GETFL, libc, O_NONBLOCK, openSocketPair, setNonblocking, systemError } from '#src/fuse/libc.js'

describe('libc', () => {
  it('gives negative errnos and never throws', () => {
    expect(libc().close(99_999)).toBe(-9)
    expect(libc().read(99_999, Buffer.alloc(1), 1)).toBe(-9)
    expect(libc().umount2(cString('/no/such/place'), 8)).toBeLessThan(0)
    expect(errnoName(libc().fcntl(99_999, F_GETFL, 0))).toBe('EBADF')
  })

  it('moves bytes', async () => {
    const [a, b] = openSocketPair()
    const pollfds = Buffer.alloc(8)
    pollfds.writeInt32LE(b, 0)
    pollfds.writeInt16LE(1, 4)
    expect(libc().poll(pollfds, 1, 0)).toBe(0)
    expect(libc().read(b, Buffer.alloc(4), 4)).toBe(-11)
    expect(libc().write(a, Buffer.from('abc'), 3)).toBe(3)
    expect(await libc().pollAsync(pollfds, 1, 1000)).toBe(1)
    const into = Buffer.alloc(4)
    expect(libc().read(b, into, 4)).toBe(3)
    expect(into.toString()).toBe('abc\0')
    setNonblocking(a)
    expect(libc().fcntl(a, F_GETFL, 0) & O_NONBLOCK).toBe(O_NONBLOCK)
    libc().close(a)
    libc().close(b)
  })

  it('names errnos', () => {
    expect([errnoName(-2), errnoName(2), errnoName(12345)]).toEqual(['ENOENT', 'ENOENT', 'errno 12345'])
    expect(errnoOfSystemError(Object.assign(new Error('x'), { errno: -28 }))).toBe(28)
    expect([errnoOfSystemError(undefined), errnoOfSystemError(new Error('x'))]).toEqual([5, 5])
    const error = systemError('flock', -11, '/x')
    expect(error).toBeInstanceOf(SourceError)
    expect(error.fields).toMatchObject({ operation: 'flock', code: 'EAGAIN', path: '/x' })
    expect(() => setNonblocking(99_999)).toThrow(/fcntl failed.*EBADF/)
  })

  it('ends strings of bytes with a NUL', () => {
    expect(cString(Buffer.from([0xe9]))).toEqual(Buffer.from([0xe9, 0]))
    expect(cString('é').length).toBe(3)
  })
})

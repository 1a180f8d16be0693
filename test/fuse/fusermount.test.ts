import { mkdirSync, mkdtempSync, rmSync, openSync, closeSync, readlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { receiveDescriptor, runWithPath } from '#src/fuse/fusermount.js'
import { libc, openSocketPair } from '#src/fuse/libc.js'

describe('runWithPath', () => {
  it.each(['plain', 'with space', 'caf\xe9', 'end\n', '-dash', '\\0101%s$x`'])('passes %j as bytes', async (name) => {
    const parent = mkdtempSync(join(tmpdir(), 'pbsfs-path-'))
    try {
      const path = Buffer.concat([Buffer.from(parent + '/'), Buffer.from(name, 'latin1')])
      expect((await runWithPath('stat', ['--'], path)).code).toBe(1)
      mkdirSync(path)
      expect(await runWithPath('stat', ['--'], path)).toEqual({ code: 0, stderr: '' })
    } finally {
      rmSync(parent, { recursive: true, force: true })
    }
  })

  it('gives up on a program that does not end', async () => {
    await expect(runWithPath('sleep', [], Buffer.from('30'), { timeoutMs: 100 })).rejects.toMatchObject({ code: 'ETIMEDOUT' })
  })

  it('rejects when the program is missing', async () => {
    await expect(runWithPath('/nonexistent/program', [], Buffer.from('x'))).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

describe('receiveDescriptor', () => {
  it('is -1 when nothing was sent, or bytes alone', () => {
    const [a, b] = openSocketPair()
    try {
      expect(receiveDescriptor(a)).toBe(-1)
      libc().write(b, Buffer.from('x'), 1)
      expect(receiveDescriptor(a)).toBe(-1)
      libc().close(b)
      expect(receiveDescriptor(a)).toBe(-1)
    } finally {
      libc().close(a)
    }
  })

  it('errors carry their errno', () => {
    const fd = openSync('/dev/null', 'r')
    expect(readlinkSync(`/proc/self/fd/${fd}`)).toBe('/dev/null')
    expect(() => receiveDescriptor(fd)).toThrow(/recvmsg failed.*ENOTSOCK/)
    closeSync(fd)
  })
})

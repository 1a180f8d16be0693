import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { UsageError } from '#src/errors/errors.js'
import { checksPermissions, parseMountOptions } from '#src/fuse/mount-options.js'

describe('parseMountOptions', () => {
  it('is read-only, without set-user-id and devices, whatever is asked for', () => {
    expect(parseMountOptions([]).flags).toBe(1 | 2 | 4)
    expect(parseMountOptions(['rw,dev,suid,exec']).flags).toBe(1 | 2 | 4)
    expect(parseMountOptions(['rw,dev,suid,exec']).ignored).toEqual(['rw', 'dev', 'suid', 'exec'])
    expect(parseMountOptions(['noexec,noatime', 'nosymfollow']).flags).toBe(1 | 2 | 4 | 8 | 1024 | 256)
  })

  it('reads values', () => {
    expect(parseMountOptions(['uid=1000,gid=0,umask=027,max_read=131072,allow_other,nonempty'])).toMatchObject({
      uid: 1000, gid: 0, umask: 0o027, maxRead: 131072, allowOther: true, nonempty: true,
    }) // prettier-ignore
  })

  it('takes escaped and quoted commas', () => {
    expect(parseMountOptions(['fsname=a\\,b\\\\c,ro']).fsname).toBe('a,b\\c')
    expect(parseMountOptions(['context="a:b:c0,c1",ro']).contexts).toEqual(['context=a:b:c0,c1'])
  })

  it('ignores the words of fstab and of mount helpers', () => {
    const words = 'defaults,user=bob,users,noauto,nofail,_netdev,x-systemd.automount,X-mount.mkdir,,auto_unmount'
    expect(parseMountOptions([words]).ignored.length).toBe(9)
  })

  it('names a word it does not know', () => {
    expect(() => parseMountOptions(['ro,bogus=1'])).toThrow('Unknown mount option "bogus=1".')
    expect(() => parseMountOptions(['fd=3'])).toThrow(UsageError)
    expect(() => parseMountOptions(['allow_root'])).toThrow(UsageError)
    expect(() => parseMountOptions(['setuid=bob'])).toThrow(UsageError)
  })

  it.each(['uid=', 'uid', 'uid=bob', 'gid=-1', 'uid=4294967295', 'umask=8', 'umask=1000', 'max_read=1k'])('refuses %s', (word) => {
    expect(() => parseMountOptions([word])).toThrow(/Mount option/)
  })

  it('offers other words to its caller', () => {
    const seen: unknown[] = []
    parseMountOptions(['keyfile=/k\\,1,ro,latest'], (name, value) => seen.push([name, value]) > 0)
    expect(seen).toEqual([['keyfile', '/k,1'], ['latest', undefined]])
  }) // prettier-ignore

  it('lets the kernel check permissions when others get in', () => {
    expect(checksPermissions(parseMountOptions([]))).toBe(false)
    expect(checksPermissions(parseMountOptions(['allow_other']))).toBe(true)
    expect(checksPermissions(parseMountOptions(['default_permissions']))).toBe(true)
  })

  it('gives options or a usage error for any text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          expect(parseMountOptions([text]).flags & 7).toBe(7)
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError)
        }
      }),
    )
  })
})

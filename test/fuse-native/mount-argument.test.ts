import { describe, expect, it } from 'vitest'
import { MountError } from '#src/errors/errors.js'
import { mountArgument, mountpointText } from '#src/fuse-native/mount-argument.js'

const BASE = { source: '/store', allowOther: false, checkPermissions: false, words: [] }

describe('mountArgument', () => {
  it('is read-only, without set-user-id and devices, whatever else is asked for', () => {
    const words = mountArgument(BASE).slice(2).split(',')
    expect(words).toEqual([
      'ro', 'nosuid', 'nodev', 'nonempty', 'subtype=pbsfs', 'fsname=/store', 'use_ino', 'attr_timeout=0.5', 'entry_timeout=0.5',
    ]) // prettier-ignore
  })

  it('passes on what was asked for', () => {
    const argument = mountArgument({ ...BASE, allowOther: true, checkPermissions: true, maxRead: 4096, words: ['noexec', 'sync'] })
    expect(argument).toMatch(/,noexec,sync,allow_other,default_permissions,max_read=4096$/)
  })

  it('lets no name of a source become an option', () => {
    expect(mountArgument({ ...BASE, source: 'a,rw\\,dev' })).toContain('fsname=a\\,rw\\\\\\,dev,')
  })

  it('refuses what the library would cut', () => {
    const fits = 1023 - (mountArgument(BASE).length - BASE.source.length)
    expect(mountArgument({ ...BASE, source: 's'.repeat(fits) })).toHaveLength(1023)
    expect(() => mountArgument({ ...BASE, source: 's'.repeat(fits + 1) })).toThrow(MountError)
    expect(() => mountArgument({ ...BASE, source: 'é'.repeat(fits / 2 + 1) })).toThrow(MountError)
  })
})

describe('mountpointText', () => {
  it('is the path', () => {
    expect(mountpointText(Buffer.from('/mnt/sauvegardé \\x'))).toBe('/mnt/sauvegardé \\x')
  })

  it.each([
    ['bytes that are not UTF-8', Buffer.from('/mnt/\xe9', 'latin1')],
    ['a path the library would cut', Buffer.from('/' + 'm'.repeat(1023))],
    ['a channel that was mounted by somebody else', Buffer.from('/dev/fd/5')],
  ])('refuses %s', (_name, path) => {
    expect(() => mountpointText(path)).toThrow(MountError)
  })
})

import { describe, expect, it } from 'vitest'
import { buildAccessAcl, buildDefaultAcl, createAclItems } from '#src/pxar-decode/acl.js'

const hex = (value: Buffer | undefined): string | undefined => value?.toString('hex')
const join = (...parts: string[]): string => parts.join('').replaceAll(' ', '')

describe('access ACL', () => {
  it('the example of the format', () => {
    const acl = { ...createAclItems(), users: [1000, 7], groupObj: 4 }
    expect(hex(buildAccessAcl(acl, 0o100674))).toBe(
      join('02000000', '0100 0600 ffffffff', '0200 0700 e8030000', '0400 0400 ffffffff', '1000 0700 ffffffff', '2000 0400 ffffffff'),
    )
  })

  it('users, groups and mask in the order of the kernel', () => {
    const acl = { ...createAclItems(), users: [1001, 6, 1002, 4], groups: [50, 7, 100000, 0], groupObj: 4 }
    expect(hex(buildAccessAcl(acl, 0o660))).toBe(
      join('02000000', '0100 0600 ffffffff', '0200 0600 e9030000', '0200 0400 ea030000', '0400 0400 ffffffff', '0800 0700 32000000', '0800 0000 a0860100', '1000 0600 ffffffff', '2000 0000 ffffffff'),
    )
  })

  it('the mode says it all without ACL items', () => {
    expect(buildAccessAcl(createAclItems(), 0o755)).toBeUndefined()
  })

  it('a group of its own rights alone brings the mask', () => {
    expect(hex(buildAccessAcl({ ...createAclItems(), groupObj: 1 }, 0o750))).toBe(
      join('02000000', '0100 0700 ffffffff', '0400 0100 ffffffff', '1000 0500 ffffffff', '2000 0000 ffffffff'),
    )
  })

  it('only three bits of a permission count', () => {
    expect(hex(buildAccessAcl({ ...createAclItems(), users: [1, 0xff] }, 0))).toContain('0200070001000000')
  })

  it.each([
    ['descending ids', [2, 7, 1, 7]],
    ['one id twice', [1, 7, 1, 6]],
    ['the id that is none', [0xffff_ffff, 7]],
  ])('%s: left out', (_, users) => {
    expect(buildAccessAcl({ ...createAclItems(), users }, 0o644)).toBeUndefined()
    expect(buildAccessAcl({ ...createAclItems(), groups: users }, 0o644)).toBeUndefined()
  })
})

describe('default ACL', () => {
  it('without mask', () => {
    expect(hex(buildDefaultAcl({ ...createAclItems(), defaults: [7, 5, 5, undefined] }))).toBe(
      join('02000000', '0100 0700 ffffffff', '0400 0500 ffffffff', '2000 0500 ffffffff'),
    )
  })

  it('with named entries and mask', () => {
    const acl = { ...createAclItems(), defaults: [7, 5, 0, 7] as const, defaultUsers: [1000, 7], defaultGroups: [5, 4] }
    expect(hex(buildDefaultAcl(acl))).toBe(
      join('02000000', '0100 0700 ffffffff', '0200 0700 e8030000', '0400 0500 ffffffff', '0800 0400 05000000', '1000 0700 ffffffff', '2000 0000 ffffffff'),
    )
  })

  it.each<[string, Partial<ReturnType<typeof createAclItems>>]>([
    ['no ACL_DEFAULT, although there are named entries', { defaultUsers: [1, 7] }],
    ['user absent', { defaults: [undefined, 5, 5, 7] }],
    ['group absent', { defaults: [7, undefined, 5, 7] }],
    ['other absent', { defaults: [7, 5, undefined, 7] }],
    ['named entries without mask', { defaults: [7, 5, 5, undefined], defaultUsers: [1, 7] }],
    ['ids not ascending', { defaults: [7, 5, 5, 7], defaultGroups: [2, 7, 1, 7] }],
  ])('%s: left out', (_, items) => {
    expect(buildDefaultAcl({ ...createAclItems(), ...items })).toBeUndefined()
  })
})

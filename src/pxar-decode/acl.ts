/** The ACL items of one entry, as they stand in the archive. */
export interface AclItems {
  /** (id, perm) pairs, flat, in archive order. */
  readonly users: number[]
  readonly groups: number[]
  readonly defaultUsers: number[]
  readonly defaultGroups: number[]
  /** Permissions of ACL_GROUP_OBJ. */
  groupObj: number | undefined
  /** user, group, other, mask of ACL_DEFAULT; undefined fields were absent when backed up. */
  defaults: readonly [number | undefined, number | undefined, number | undefined, number | undefined] | undefined
}

export function createAclItems(): AclItems {
  return { users: [], groups: [], defaultUsers: [], defaultGroups: [], groupObj: undefined, defaults: undefined }
}

/** Version of the xattr form, and its entry tags (Linux, posix_acl_xattr.h). */
const XATTR_VERSION = 2
const TAG = { userObj: 0x01, user: 0x02, groupObj: 0x04, group: 0x08, mask: 0x10, other: 0x20 } as const
const NO_ID = 0xffff_ffff
const ENTRY_BYTES = 8

/**
 * Value of `system.posix_acl_access`; undefined when the mode says it all, or when the items make
 * no valid ACL.
 */
export function buildAccessAcl(acl: AclItems, mode: number): Buffer | undefined {
  const { users, groups, groupObj } = acl
  if (users.length === 0 && groups.length === 0 && groupObj === undefined) return undefined
  const groupBits = (mode >> 3) & 7
  // With a mask the group bits of the mode are the mask, and the group's own rights stand apart.
  return build((mode >> 6) & 7, users, groupObj ?? groupBits, groups, groupBits, mode & 7)
}

/** Value of `system.posix_acl_default`; undefined when there is none or it is not valid. */
export function buildDefaultAcl(acl: AclItems): Buffer | undefined {
  if (acl.defaults === undefined) return undefined
  const [user, group, other, mask] = acl.defaults
  if (user === undefined || group === undefined || other === undefined) return undefined
  if (mask === undefined && (acl.defaultUsers.length > 0 || acl.defaultGroups.length > 0)) return undefined
  return build(user, acl.defaultUsers, group, acl.defaultGroups, mask, other)
}

function build(
  user: number,
  users: readonly number[],
  group: number,
  groups: readonly number[],
  mask: number | undefined,
  other: number,
): Buffer | undefined {
  if (!ascend(users) || !ascend(groups)) return undefined
  const count = 3 + (users.length + groups.length) / 2 + (mask === undefined ? 0 : 1)
  const out = Buffer.alloc(4 + count * ENTRY_BYTES)
  let at = out.writeUInt32LE(XATTR_VERSION, 0)
  const put = (tag: number, perm: number, id: number): void => {
    out.writeUInt16LE(tag, at)
    out.writeUInt16LE(perm & 7, at + 2)
    at = out.writeUInt32LE(id, at + 4)
  }
  put(TAG.userObj, user, NO_ID)
  for (let i = 0; i < users.length; i += 2) put(TAG.user, users[i + 1]!, users[i]!)
  put(TAG.groupObj, group, NO_ID)
  for (let i = 0; i < groups.length; i += 2) put(TAG.group, groups[i + 1]!, groups[i]!)
  if (mask !== undefined) put(TAG.mask, mask, NO_ID)
  put(TAG.other, other, NO_ID)
  return out
}

/** Ids must be valid and ascend without duplicates, or the kernel refuses the ACL. */
function ascend(pairs: readonly number[]): boolean {
  for (let i = 0; i < pairs.length; i += 2) {
    if (pairs[i]! >= NO_ID || (i > 0 && pairs[i]! <= pairs[i - 2]!)) return false
  }
  return true
}

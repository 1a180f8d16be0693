/** What the names of all of ours begin with. */
export const OWN_PREFIX = 'user.pbs.'

/**
 * The extended attributes that pbsfs adds of its own; docs/cli.md says what each holds. Archives
 * bring their own attributes, which are shown as they are.
 */
export const XATTR = {
  /** Owner of the group, as the server writes it. */
  owner: 'user.pbs.owner',
  /** Notes of a group or snapshot. */
  notes: 'user.pbs.notes',
  /** Verify state the server recorded. */
  verify: 'user.pbs.verify',
  /** `1` on a snapshot that pruning leaves alone. */
  protected: 'user.pbs.protected',
  /** How the snapshot is protected: `none`, `sign-only`, `encrypt`. */
  encrypted: 'user.pbs.encrypted',
  /** Whether the manifest of a snapshot is the one its maker signed. */
  signature: 'user.pbs.signature',
  /** Bytes of a snapshot as the manifest counts them. */
  size: 'user.pbs.size',
  /** Why a thing cannot be shown as what it is. */
  error: 'user.pbs.error',
  /** Which key a thing needs, and which ones were given. */
  key: 'user.pbs.key',
  /** File system found in a partition or volume. */
  fstype: 'user.pbs.fstype',
  label: 'user.pbs.label',
  uuid: 'user.pbs.uuid',
  /** How to mount it, where that is not obvious: a journal that was not written back, a member of something larger. */
  hint: 'user.pbs.hint',
} as const

import type { StoreArguments } from './store-options.js'

/** Of `pbsfs restore`, whatever kind of restore it is. */
export interface RestoreArguments extends StoreArguments {
  readonly target: string
  /** Set in the form of the vendor's client: SNAPSHOT ARCHIVE TARGET. */
  readonly more: string | undefined
  readonly patterns: readonly string[]
  readonly excludes: readonly string[]
  readonly overwrite: boolean
  readonly ignoreOwnership: boolean
  readonly ignorePermissions: boolean
  readonly ignoreAcls: boolean
  readonly ignoreXattrs: boolean
  readonly dryRun: boolean
  readonly verify: boolean
  /** Only what differs from an image is written. */
  readonly changed: boolean
  /** The disk is used while it is copied. */
  readonly live: boolean
  readonly socket: string | undefined
  readonly rate: string | undefined
  /** SOURCE of what the target holds. */
  readonly since: string | undefined
  readonly json: boolean
}

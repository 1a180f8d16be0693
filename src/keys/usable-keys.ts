import type { KeyObject } from 'node:crypto'
import type { EncryptionKey } from './encryption-key.js'
import type { MountSecrets } from './secrets.js'

/** The keys a mount was given, with what is derived from them. */
export interface UsableKeys {
  readonly keys: readonly EncryptionKey[]
  readonly masterKeys: readonly KeyObject[]
}

/** Derives what is needed to use the keys. Most mounts have none: what derives is loaded when there is one. */
export async function deriveKeys({ keys, masterKeys }: MountSecrets): Promise<UsableKeys> {
  if (keys.length === 0) return { keys: [], masterKeys }
  const { makeEncryptionKey } = await import('./encryption-key.js')
  return { keys: keys.map((key) => makeEncryptionKey(key.export())), masterKeys }
}

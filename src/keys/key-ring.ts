import type { EncryptionKey } from './encryption-key.js'
import { formatFingerprint } from './fingerprint.js'

/** A key and the small number it has in this mount. */
export interface RingKey {
  readonly id: number
  readonly key: EncryptionKey
}

/** The keys of a mount. Keys are added, never taken away, so a number stays good. */
export class KeyRing {
  readonly #keys = new Map<string, RingKey>()
  readonly #onAdded: (added: RingKey) => void

  /** `onAdded` hears of every new key before anybody can use it. */
  constructor(onAdded: (added: RingKey) => void = () => undefined) {
    this.#onAdded = onAdded
  }

  /** The same key twice is one. */
  add(key: EncryptionKey): RingKey {
    const known = this.#keys.get(key.fingerprint)
    if (known !== undefined) return known
    const added = { id: this.#keys.size, key }
    this.#onAdded(added)
    this.#keys.set(key.fingerprint, added)
    return added
  }

  /** By its 64 hex digits. */
  find(fingerprint: string): RingKey | undefined {
    return this.#keys.get(fingerprint)
  }

  get size(): number {
    return this.#keys.size
  }

  all(): RingKey[] {
    return [...this.#keys.values()]
  }

  /** `24:26:..., 04:1d:...` or `none`. */
  describe(): string {
    const fingerprints = [...this.#keys.keys()].map(formatFingerprint)
    return fingerprints.length === 0 ? 'none' : fingerprints.join(', ')
  }
}
